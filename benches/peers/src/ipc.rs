//! ipc-channel and the pool one would build on it: a channel to each worker, one for all replies, and the next call for whoever
//! has replied.

use std::process::{Child, Command};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};

use crate::chunked::{Call, Calls, Large, Reply, perform};

pub const WORKER: &str = "ipc-worker";

type Calling = (usize, Call);
type Replied = (usize, usize, Reply);
type Hello = (IpcSender<Option<Calling>>, IpcSender<(usize, IpcSender<Replied>)>);

pub struct IpcPool {
    workers: Vec<(IpcSender<Option<Calling>>, Child)>,
    replies: IpcReceiver<Replied>,
}

/// A worker's life.
pub fn serve(server: &str) {
    let (calls, receiver) = ipc::channel::<Option<Calling>>().unwrap();
    let (setup, settings) = ipc::channel().unwrap();
    IpcSender::<Hello>::connect(server.to_owned()).unwrap().send((calls, setup)).unwrap();
    let Ok((worker, replies)) = settings.recv() else { return };
    while let Ok(Some((number, call))) = receiver.recv() {
        replies.send((worker, number, perform(call))).unwrap();
    }
}

impl Calls for IpcPool {
    fn start(workers: usize) -> Self {
        let (sender, replies) = ipc::channel().unwrap();
        let program = std::env::current_exe().unwrap();
        let started: Vec<_> = (0..workers)
            .map(|_| {
                let (server, name) = IpcOneShotServer::<Hello>::new().unwrap();
                (server, Command::new(&program).args([WORKER, &name]).spawn().unwrap())
            })
            .collect();
        let greet = |(number, (server, child)): (usize, (IpcOneShotServer<Hello>, Child))| {
            let (_, (calls, setup)) = server.accept().unwrap();
            setup.send((number, sender.clone())).unwrap();
            (calls, child)
        };
        Self { workers: started.into_iter().enumerate().map(greet).collect(), replies }
    }

    fn run(&mut self, calls: impl Iterator<Item = Call>, large: Large) -> Vec<Reply> {
        // One that is working while another waits for it; but with large ones both ends would wait for each other.
        let ahead = if large == Large::Yes { 1 } else { 2 };
        let mut calls = calls.enumerate();
        let mut replies: Vec<Option<Reply>> = Vec::new();
        let mut out = 0;
        let mut send = |worker: usize, out: &mut usize| {
            if let Some(call) = calls.next() {
                *out += 1;
                self.workers[worker].0.send(Some(call)).unwrap();
            }
        };
        for worker in (0..ahead).flat_map(|_| 0..self.workers.len()) {
            send(worker, &mut out);
        }
        while out > 0 {
            let (worker, number, reply) = self.replies.recv().unwrap();
            out -= 1;
            send(worker, &mut out);
            if replies.len() <= number {
                replies.resize_with(number + 1, || None);
            }
            replies[number] = Some(reply);
        }
        replies.into_iter().flatten().collect()
    }
}

impl Drop for IpcPool {
    fn drop(&mut self) {
        for (calls, child) in &mut self.workers {
            let _ = calls.send(None);
            let _ = child.wait();
        }
    }
}
