//! The items of a job, from any iterator.

use std::iter::Once;
use std::marker::PhantomData;

use super::bound::stopped;
use super::fill::Fill;
use crate::codec::{Out, Stop};
use crate::error::{Error, ErrorKind};
use crate::job::{Filled, ItemWriter, Source};
use crate::unwind;

/// An iterator of up to so many bytes is moved out of its place while it is asked, where each item would load and store its
/// state: of a range that is then a register (measured, of a no-op map of a million: a quarter of all there was to do). A larger
/// one, such as an array's, stays where it is.
const MOVED: usize = 128;

/// Encodes what an iterator gives, and takes no more from it than there is room for, but for one item.
#[derive(Debug)]
pub(crate) struct Items<P, H, M, I: Iterator, K> {
    /// `None` from its end on, and when it panicked.
    input: Option<I>,
    /// It gives one item: nobody needs to ask for its end.
    single: bool,
    rest: Rest<K>,
    how: PhantomData<How<P, H, M>>,
}

#[derive(Debug)]
struct Rest<K> {
    /// An item that found no room.
    kept: Option<K>,
    /// It asked for a block of its own, and is given that next.
    asked: bool,
}

/// Which types decide how items are written. No value of them exists.
type How<P, H, M> = fn() -> (P, H, M);

/// How an item that found no room is kept until there is some.
pub(crate) trait Keep<P, H, M, A>: Sized {
    /// Keeps it.
    fn keep(item: A) -> Result<Self, Error>;

    /// Writes it.
    fn encode(&self, out: &mut Out<'_>) -> Result<(), Stop>;

    /// How many bytes it needs.
    fn size(&self) -> Result<usize, Error>;
}

/// As it is: a large item is copied once.
#[derive(Debug)]
pub(crate) struct Whole<A>(A);

/// As its bytes: they can go to another thread, where the item perhaps cannot.
#[derive(Debug)]
pub(crate) struct Encoded(Vec<u8>);

impl<P, H: Fill<P, A, M>, M, A> Keep<P, H, M, A> for Whole<A> {
    fn keep(item: A) -> Result<Self, Error> {
        Ok(Self(item))
    }

    fn encode(&self, out: &mut Out<'_>) -> Result<(), Stop> {
        H::encode(&self.0, out)
    }

    fn size(&self) -> Result<usize, Error> {
        H::size(&self.0)
    }
}

impl<P, H: Fill<P, A, M>, M, A> Keep<P, H, M, A> for Encoded {
    fn keep(item: A) -> Result<Self, Error> {
        let mut bytes = vec![0; H::size(&item)?];
        let mut out = Out::new(&mut bytes);
        H::encode(&item, &mut out).map_err(stopped)?;
        let len = out.position();
        bytes.truncate(len);
        Ok(Self(bytes))
    }

    fn encode(&self, out: &mut Out<'_>) -> Result<(), Stop> {
        out.write(&self.0)
    }

    fn size(&self) -> Result<usize, Error> {
        Ok(self.0.len())
    }
}

impl<P, H, M, I: Iterator, K> Items<P, H, M, I, K> {
    pub(crate) fn new(input: I) -> Self {
        let rest = Rest { kept: None, asked: false };
        Self { input: Some(input), single: false, rest, how: PhantomData }
    }
}

impl<P, H, M, A, K> Items<P, H, M, Once<A>, K> {
    pub(crate) fn one(item: A) -> Self {
        Self { single: true, ..Self::new(std::iter::once(item)) }
    }
}

impl<P, H, M, I, K> Source for Items<P, H, M, I, K>
where
    I: Iterator,
    H: Fill<P, I::Item, M>,
    K: Keep<P, H, M, I::Item>,
{
    fn fill(&mut self, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        let before = items.count();
        if max > 0
            && let Some(kept) = self.rest.kept.take()
            && let Some(stopped) = Self::again(kept, &mut self.rest, items)
        {
            return stopped;
        }
        let max = max - (items.count() - before).min(max);
        let filled = if size_of::<I>() <= MOVED {
            let Some(mut input) = self.input.take() else { return Filled::End };
            let filled = Self::ask(&mut input, &mut self.rest, items, max);
            self.input = Some(input);
            filled
        } else {
            let Some(input) = &mut self.input else { return Filled::End };
            Self::ask(input, &mut self.rest, items, max)
        };
        let has_more = |input: &I| input.size_hint().1 != Some(0);
        let over = match filled {
            Filled::End => true,
            Filled::More => self.single && !self.input.as_ref().is_some_and(has_more),
            _ => false,
        };
        if over {
            self.input = None;
            return Filled::End;
        }
        filled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let kept = usize::from(self.rest.kept.is_some());
        let (least, most) = self.input.as_ref().map_or((0, Some(0)), I::size_hint);
        (least.saturating_add(kept), most.and_then(|most| most.checked_add(kept)))
    }
}

impl<P, H, M, I, K> Items<P, H, M, I, K>
where
    I: Iterator,
    H: Fill<P, I::Item, M>,
    K: Keep<P, H, M, I::Item>,
{
    fn ask(input: &mut I, rest: &mut Rest<K>, items: &mut ItemWriter<'_>, max: usize) -> Filled {
        match H::STRIDE {
            Some(stride @ 1..) if items.left() >= stride => {
                let before = items.count();
                let stopped = items.put_strided(stride, max, || input.next(), H::encode);
                let all = items.count() - before == max;
                stopped.unwrap_or(if all { Filled::More } else { Filled::Full })
            }
            _ => Self::one_by_one(input, rest, items, max),
        }
    }

    fn one_by_one(
        input: &mut I,
        rest: &mut Rest<K>,
        items: &mut ItemWriter<'_>,
        max: usize,
    ) -> Filled {
        for _ in 0..max {
            // Looked at before the item is taken: then an item that finds no room is an exception.
            if H::STRIDE.is_some_and(|stride| stride > items.left()) && items.count() > 0 {
                return Filled::Full;
            }
            let Some(item) = input.next() else { return Filled::End };
            match items.put(|out| H::encode(&item, out)) {
                Ok(()) => {}
                Err(Stop::Failed(error)) => return Filled::Failed(error),
                Err(Stop::Full) => match K::keep(item) {
                    Ok(kept) => return Self::no_room(kept, rest, items),
                    Err(error) => return Filled::Failed(error),
                },
            }
        }
        Filled::More
    }

    /// Writes an item that found no room before.
    fn again(kept: K, rest: &mut Rest<K>, items: &mut ItemWriter<'_>) -> Option<Filled> {
        match items.put(|out| kept.encode(out)) {
            Ok(()) => {
                rest.asked = false;
                None
            }
            Err(Stop::Failed(error)) => {
                rest.asked = false;
                Some(Filled::Failed(error))
            }
            Err(Stop::Full) => Some(Self::no_room(kept, rest, items)),
        }
    }

    #[cold]
    fn no_room(kept: K, rest: &mut Rest<K>, items: &ItemWriter<'_>) -> Filled {
        if items.count() > 0 {
            rest.kept = Some(kept);
            return Filled::Full;
        }
        let size = unwind::catch(|| kept.size()).map_err(Error::panicked);
        let asked = std::mem::replace(&mut rest.asked, false);
        match size.and_then(|size| size) {
            Err(error) => Filled::Failed(error),
            // To ask for more room again might never end.
            Ok(size) if asked || size <= items.left() => {
                Filled::Failed(Error::new(ErrorKind::Encode, "a value was larger than it had said"))
            }
            Ok(size) => {
                (rest.kept, rest.asked) = (Some(kept), true);
                Filled::TooBig(size)
            }
        }
    }
}

/// A source that is pulled on its job's own thread, or, without workers, on the caller's: a panic of the input is the failure of
/// the item it was to give, and the end of the input.
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
