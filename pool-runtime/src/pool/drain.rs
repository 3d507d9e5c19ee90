//! Takes what workers have posted, checks it, and hands it to the jobs it belongs to.

use super::desk::Desk;
use super::recall::Ahead;
use super::seat::{Sentence, Worker};
use super::work::{Event, Interest, Job};
use crate::board::layout::{Control, FAILURE, RESULTS, Tag};
use crate::board::outbox::Posted;
use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::job::Sink;
use crate::payload::Payload;

/// A job whose results may go straight to where they are wanted: no code of the user's runs when they are decoded.
pub(crate) struct Direct<'a> {
    pub(crate) slot: usize,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) delivered: usize,
}

impl Desk {
    /// Takes all posts of all workers.
    pub(crate) fn drain(&mut self, control: &Control, mut direct: Option<&mut Direct<'_>>) {
        for index in 0..self.seats.len() {
            let Some(mut worker) =
                self.seats[index].worker.take_if(|worker| worker.reader.has_post())
            else {
                continue;
            };
            self.drain_worker(&mut worker, direct.as_deref_mut());
            worker.reader.tell(self.seats[index].cell(control));
            self.seats[index].worker = Some(worker);
        }
        if self.serve_backlog(control) {
            control.head.worker_bed().wake(u32::MAX);
        }
    }

    /// Whether any worker has posted something that was not taken.
    pub(crate) fn has_posts(&self) -> bool {
        self.seats
            .iter()
            .any(|seat| seat.worker.as_ref().is_some_and(|worker| worker.reader.has_post()))
    }

    /// Takes all posts of one worker. One that posts what cannot be is killed.
    pub(crate) fn drain_worker(
        &mut self,
        worker: &mut Worker,
        mut direct: Option<&mut Direct<'_>>,
    ) {
        while worker.reader.is_sane()
            && let Some(posted) = worker.reader.next()
        {
            let fine = self.take_post(worker, posted, direct.as_deref_mut());
            worker.reader.took();
            if !fine {
                worker.reader.distrust();
            }
        }
        if !worker.reader.is_sane() && worker.sentence.is_none() {
            worker.sentence = Some(Sentence::Nonsense);
            worker.child.kill();
        }
    }

    fn take_post(
        &mut self,
        worker: &mut Worker,
        mut posted: Posted,
        direct: Option<&mut Direct<'_>>,
    ) -> bool {
        // Such a result may be read when its job is forgotten: what it takes along was sent before, and is to be here.
        let may_be_kept = |job: &Job| job.background && job.task.result_stride.is_none();
        if self.job_of(posted.run).is_some_and(may_be_kept) {
            self.run_errands(worker);
        }
        let Some(mut payload) = worker.reader.payload(posted.at, posted.len) else { return false };
        if let Some(ahead) = Ahead::of(&mut worker.ahead, &posted)
            && let Some(job) = self.job_of(posted.run)
        {
            match ahead.rest(job.task.result_stride, &mut posted, &payload) {
                Some(_) if posted.items.0 == posted.items.1 => return true,
                Some(rest) => payload = rest,
                None => return false,
            }
        }
        self.take(posted, &payload, worker.child.pid(), direct)
    }

    /// Deals with one post; `false` when it cannot be.
    pub(super) fn take(
        &mut self,
        posted: Posted,
        payload: &Payload<'_>,
        pid: u32,
        direct: Option<&mut Direct<'_>>,
    ) -> bool {
        let (from, to) = posted.items;
        match posted.kind {
            RESULTS => self.take_results(posted.run, from, to, payload, direct),
            FAILURE if from.checked_add(1) == Some(to) => {
                self.take_failure(posted.run, from, payload, pid)
            }
            _ => false,
        }
    }

    /// The results of items `from..to` of a run.
    pub(crate) fn take_results(
        &mut self,
        run: Tag,
        from: u32,
        to: u32,
        payload: &Payload<'_>,
        direct: Option<&mut Direct<'_>>,
    ) -> bool {
        let Some((slot, first)) = self.account(run, from, to) else {
            return self.run(run).is_none();
        };
        let count = (to - from) as usize;
        let Some(job) = self.job_in(slot).filter(|job| job.interest == Interest::All) else {
            return true;
        };
        let stride = job.task.result_stride;
        if stride.is_some_and(|stride| count.checked_mul(stride) != Some(payload.len())) {
            let error = Error::new(ErrorKind::Decode, "the worker posted results of a wrong size")
                .with_task(job.task.name);
            for index in first..first + count as u64 {
                self.deliver(
                    slot,
                    Event { first: index, count: 1, outcome: Err(error.clone().with_index(index)) },
                );
            }
            return false;
        }
        match direct.filter(|direct| direct.slot == slot && job.task.plain_result) {
            Some(direct) => {
                job.result_bytes += payload.len() as u64;
                direct.sink.results(first, count, payload);
                direct.delivered += count;
            }
            None => {
                let mut bytes = Vec::new();
                payload.copy_to(&mut bytes);
                self.deliver(slot, Event { first, count, outcome: Ok(bytes) });
            }
        }
        true
    }

    fn take_failure(&mut self, run: Tag, item: u32, payload: &Payload<'_>, pid: u32) -> bool {
        let mut bytes = Vec::new();
        payload.copy_to(&mut bytes);
        let error: Result<Error, Error> = codec::message::decode(&bytes);
        let error = error.unwrap_or_else(|_| {
            Error::new(ErrorKind::Decode, "the worker's error could not be read")
        });
        if self.run(run).is_none() {
            return true;
        }
        self.fail(run, item, &error.with_pid(pid))
    }
}
