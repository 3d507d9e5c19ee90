//! The items of a job, from any iterator.

use std::iter::Fuse;
use std::marker::PhantomData;

use super::fill::Fill;
use crate::codec::Stop;
use crate::error::{Error, ErrorKind};
use crate::job::{Filled, ItemWriter, Source};
use crate::unwind;

/// Encodes what an iterator gives, and takes no more from it than there is room for, but for one item.
#[derive(Debug)]
pub(crate) struct Items<P, H, M, I: Iterator> {
    items: Fuse<I>,
    /// An item that found no room.
    kept: Option<I::Item>,
    how: PhantomData<fn() -> (P, H, M)>,
}

impl<P, H, M, I: Iterator> Items<P, H, M, I> {
    pub(crate) fn new(items: I) -> Self {
        Self { items: items.fuse(), kept: None, how: PhantomData }
    }
}

impl<P, H, M, I> Source for Items<P, H, M, I>
where
    I: Iterator,
    H: Fill<P, I::Item, M>,
{
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        if let Some(stride @ 1..) = H::STRIDE
            && self.kept.is_none()
            && items.left() >= stride
        {
            let before = items.count();
            let stopped = items.put_strided(stride, max, || self.items.next(), H::encode);
            let all = items.count() - before == max;
            return stopped.unwrap_or(if all { Filled::More } else { Filled::Full });
        }
        for _ in 0..max {
            // Looked at before the item is taken: then an item that finds no room is an exception.
            if H::STRIDE.is_some_and(|stride| stride > items.left()) && items.count() > 0 {
                return Filled::Full;
            }
            let Some(item) = self.kept.take().or_else(|| self.items.next()) else {
                return Filled::End;
            };
            match items.put(|out| H::encode(&item, out)) {
                Ok(()) => {}
                Err(Stop::Failed(error)) => return Filled::Failed(error),
                Err(Stop::Full) if items.count() > 0 => {
                    self.kept = Some(item);
                    return Filled::Full;
                }
                Err(Stop::Full) => return self.too_big(item, items.left()),
            }
        }
        Filled::More
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let kept = usize::from(self.kept.is_some());
        let (least, most) = self.items.size_hint();
        (least.saturating_add(kept), most.and_then(|most| most.checked_add(kept)))
    }
}

impl<P, H, M, I> Items<P, H, M, I>
where
    I: Iterator,
    H: Fill<P, I::Item, M>,
{
    #[cold]
    fn too_big(&mut self, item: I::Item, room: usize) -> Filled {
        let size = unwind::catch(|| H::size(&item)).map_err(Error::panicked);
        match size.and_then(|size| size) {
            Err(error) => Filled::Failed(error),
            // To ask for more room again would never end.
            Ok(size) if size <= room => {
                Filled::Failed(Error::new(ErrorKind::Encode, "a value was larger than it had said"))
            }
            Ok(size) => {
                self.kept = Some(item);
                Filled::TooBig(size)
            }
        }
    }
}

/// A source that is pulled on the pool's own thread: a panic of the input is the failure of the item it was to give, and the
/// end of the input.
#[derive(Debug)]
pub(crate) struct Caught<S> {
    source: S,
    ended: bool,
}

impl<S> Caught<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, ended: false }
    }
}

impl<S: Source> Source for Caught<S> {
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        if self.ended {
            return Filled::End;
        }
        unwind::catch(|| self.source.fill(items, max)).unwrap_or_else(|panic| {
            self.ended = true;
            Filled::Failed(Error::panicked(panic))
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.source.size_hint() }
    }
}
