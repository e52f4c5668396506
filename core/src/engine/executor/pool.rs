//! Threads that share the steps of one run.
//!
//! They sleep between runs. Within one they meet at a barrier behind every step, and
//! because steps take microseconds they spin there for a moment before they yield: a
//! futex for each of sixty steps would cost more than the second thread gains. Behind a
//! run they look out for the next one for [`LOOK_OUT`], since waking from sleep takes as long
//! as several steps, and then sleep. A run that finds the pool taken by another runs alone
//! instead of waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::stopped;
use crate::error::{Error, ErrorKind, Result, catch_panic};

/// Turns at the barrier before a thread offers its core to others.
const SPINS: usize = 2_000;

/// How long a thread looks out for the next run before it sleeps: photos of one listing and
/// frames of a stream that keeps up follow each other so; an idle app's threads sleep.
const LOOK_OUT: Duration = Duration::from_micros(100);

/// `work(step, part, parts)`.
type Task<'a> = dyn Fn(usize, usize, usize) -> Result<()> + Sync + 'a;

/// A run as its threads see it.
struct Job {
    /// Lives as long as the run: `Pool::run` returns only when every worker has left it.
    task: *const Task<'static>,
    steps: usize,
}

// SAFETY: the task is `Sync`; see `Job::task` for its life.
unsafe impl Send for Job {}

struct Shared {
    /// The job and the number of the run it belongs to.
    job: Mutex<(usize, Option<Job>)>,
    begin: Condvar,
    /// The job's number, to be looked at without the lock.
    runs: AtomicUsize,
    closing: AtomicBool,
    arrived: AtomicUsize,
    round: AtomicUsize,
    /// The first step after which the run ends early; `usize::MAX` where none has failed.
    stop_after: AtomicUsize,
    error: Mutex<Option<Error>>,
    threads: usize,
}

/// A fixed number of threads, the caller's included.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    taken: Mutex<()>,
}

impl Pool {
    pub(super) fn new(threads: usize) -> Result<Pool> {
        let shared = Arc::new(Shared {
            job: Mutex::new((0, None)),
            begin: Condvar::new(),
            runs: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            stop_after: AtomicUsize::new(usize::MAX),
            error: Mutex::new(None),
            threads,
        });
        let mut pool = Pool {
            shared,
            workers: Vec::new(),
            taken: Mutex::new(()),
        };
        for part in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = std::thread::Builder::new()
                .name("etalase".to_owned())
                .spawn(move || shared.serve(part))
                .map_err(|error| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        format!("{threads} threads cannot be started"),
                    )
                    .with_source(error)
                })?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    pub(super) fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Does `steps` steps one after the other, each in parts.
    pub(super) fn run(
        &self,
        steps: usize,
        cancel: Option<&AtomicBool>,
        task: &Task<'_>,
    ) -> Result<()> {
        let guard = match self.taken.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return (0..steps).try_for_each(|step| {
                    stopped(cancel)?;
                    task(step, 0, 1)
                });
            }
        };
        let shared = &*self.shared;
        shared.stop_after.store(usize::MAX, Ordering::Relaxed);
        {
            // SAFETY: only the lifetime changes; no worker uses the task after the last
            // barrier, and this function passes it too before it returns.
            let task =
                unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
            let mut job = shared.job.lock().unwrap_or_else(PoisonError::into_inner);
            *job = (job.0.wrapping_add(1), Some(Job { task, steps }));
            shared.runs.store(job.0, Ordering::Release);
        }
        shared.begin.notify_all();
        shared.take_part(0, steps, task, cancel);
        drop(guard);
        let error = shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        error.map_or(Ok(()), Err)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        {
            let _job = self
                .shared
                .job
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            self.shared.closing.store(true, Ordering::Relaxed);
        }
        self.shared.begin.notify_all();
        for worker in self.workers.drain(..) {
            // Workers catch panics, so there is none to hear of.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn serve(&self, part: usize) {
        let mut seen = 0;
        loop {
            self.look_out(seen);
            let (task, steps) = {
                let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    if self.closing.load(Ordering::Relaxed) {
                        return;
                    }
                    match &*job {
                        (run, Some(Job { task, steps })) if *run != seen => {
                            seen = *run;
                            break (*task, *steps);
                        }
                        _ => job = self.begin.wait(job).unwrap_or_else(PoisonError::into_inner),
                    }
                }
            };
            // SAFETY: the run that made the job waits at the last barrier for this worker.
            self.take_part(part, steps, unsafe { &*task }, None);
        }
    }

    /// Waits for a run beyond `seen`, not for long.
    fn look_out(&self, seen: usize) {
        let start = Instant::now();
        while self.runs.load(Ordering::Acquire) == seen
            && !self.closing.load(Ordering::Relaxed)
            && start.elapsed() < LOOK_OUT
        {
            std::hint::spin_loop();
        }
    }

    /// All steps, a barrier behind each. Part 0 looks at the cancel flag; what stops one
    /// thread stops all behind the same barrier: one that is a step ahead and fails there
    /// names its own step, so that the others still do theirs.
    fn take_part(&self, part: usize, steps: usize, task: &Task<'_>, cancel: Option<&AtomicBool>) {
        for step in 0..steps {
            let done = stopped(cancel).and_then(|()| {
                catch_panic(ErrorKind::Model, "a kernel", || {
                    task(step, part, self.threads)
                })
            });
            if let Err(error) = done {
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.stop_after.fetch_min(step, Ordering::Relaxed);
            }
            self.barrier();
            if self.stop_after.load(Ordering::Relaxed) <= step {
                break;
            }
        }
        // Behind this one nobody looks at the task or at what the next run resets.
        self.barrier();
    }

    fn barrier(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut turns = 0;
        while self.round.load(Ordering::Acquire) == round {
            turns += 1;
            if turns < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}
