//! Writes a run's files, while the run goes on where a GPU trains: on a processor writing would take the cores that train,
//! which costs more than waiting for it.
//!
//! Files are written one after the other, in the order in which they are handed over: whatever ends the process, a state
//! never tells of a checkpoint that is not there.

use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result};
use tch::Device;

/// Writes one file, of whose content it holds a copy.
type Write = Box<dyn FnOnce() -> Result<()> + Send>;

/// A thread that writes; without one the caller does.
pub(super) struct Writer(Option<Thread>);

/// It ends at the first file that cannot be written.
struct Thread {
    files: SyncSender<Write>,
    running: JoinHandle<Result<()>>,
}

impl Writer {
    /// Files that wait, their content in memory, before handing over another one waits too.
    const WAITING: usize = 2;

    /// For a run that trains on this device.
    pub(super) fn beside(device: Device) -> Result<Writer> {
        match device {
            Device::Cpu => Ok(Writer(None)),
            _ => Writer::thread(),
        }
    }

    fn thread() -> Result<Writer> {
        let (files, handed_over) = sync_channel::<Write>(Writer::WAITING);
        let write = move || handed_over.into_iter().try_for_each(|file| file());
        let running = Builder::new().name("files".to_owned()).spawn(write);
        let running = running.context("no thread to write files")?;
        Ok(Writer(Some(Thread { files, running })))
    }

    /// Hands over a file. The error may be that of an earlier one.
    pub(super) fn write(
        &mut self,
        file: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<()> {
        match &self.0 {
            None => file(),
            Some(thread) if thread.files.send(Box::new(file)).is_ok() => Ok(()),
            Some(_) => self.finish(),
        }
    }

    /// An error where a file could not be written.
    pub(super) fn check(&mut self) -> Result<()> {
        match &self.0 {
            Some(thread) if thread.running.is_finished() => self.finish(),
            _ => Ok(()),
        }
    }

    /// Waits until all files are written.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Some(Thread { files, running }) = self.0.take() else {
            return Ok(());
        };
        drop(files);
        running.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// A run that fails leaves the files that it handed over, and says what of them failed as well.
impl Drop for Writer {
    fn drop(&mut self) {
        let Some(Thread { files, running }) = self.0.take() else {
            return;
        };
        drop(files);
        if let Ok(Err(error)) = running.join() {
            eprintln!("{error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use anyhow::bail;

    use super::*;

    #[test]
    fn files_are_written_in_order_and_all_of_them() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let file = |number: usize| {
            let written = Arc::clone(&written);
            move || {
                // The earlier ones take longer.
                std::thread::sleep(Duration::from_millis(10 - number as u64));
                written.lock().unwrap().push(number);
                Ok(())
            }
        };
        for mut writer in [Writer(None), Writer::thread().unwrap()] {
            (0..5).for_each(|number| writer.write(file(number)).unwrap());
            writer.finish().unwrap();
            assert_eq!(
                std::mem::take(&mut *written.lock().unwrap()),
                [0, 1, 2, 3, 4]
            );
        }
        let mut writer = Writer::thread().unwrap();
        (5..8).for_each(|number| writer.write(file(number)).unwrap());
        drop(writer);
        assert_eq!(*written.lock().unwrap(), [5, 6, 7]);
    }

    #[test]
    fn a_thread_writes_beside_a_gpu_alone() {
        assert!(Writer::beside(Device::Cpu).unwrap().0.is_none());
        let mut writer = Writer::beside(Device::Cuda(0)).unwrap();
        let (go_on, wait) = sync_channel::<()>(0);
        // Handing over does not wait for a file that cannot be written yet.
        let blocked = move || Ok(wait.recv_timeout(Duration::from_secs(60))?);
        writer.write(blocked).unwrap();
        writer.write(|| Ok(())).unwrap();
        go_on.send(()).unwrap();
        writer.finish().unwrap();
    }

    /// What cannot be written is said once, as soon as it is known, and nothing is written behind it.
    #[test]
    fn an_error_comes_back() {
        let mut writer = Writer::thread().unwrap();
        assert!(writer.check().is_ok());
        writer.write(|| bail!("the disk is full")).unwrap();
        let began = Instant::now();
        let said = loop {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is said");
            match writer.check() {
                Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                Err(said) => break said.to_string(),
            }
        };
        assert_eq!(said, "the disk is full");
        writer.finish().unwrap();

        let behind = Arc::new(AtomicUsize::new(0));
        let mut writer = Writer::thread().unwrap();
        writer.write(|| bail!("the disk is full")).unwrap();
        let refused = (0..Writer::WAITING + 2).find_map(|_| {
            let behind = Arc::clone(&behind);
            let write = move || {
                behind.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            writer.write(write).err()
        });
        let said = refused.or(writer.finish().err()).unwrap().to_string();
        assert_eq!(said, "the disk is full");
        assert_eq!(behind.load(Ordering::Relaxed), 0);
    }
}
