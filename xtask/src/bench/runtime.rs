//! What the benchmarks time: the `etalase` command, a process a batch, and other runtimes, each in
//! one process of bench/peers.py that lives through all rounds.
//!
//! Both read the model themselves and make up the same input. A batch's first run is dropped here
//! for peers and by `etalase bench` for itself: caches are cold after another runtime's turn.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::report;

/// What a runtime answers to a batch of runs.
pub struct Batch {
    pub runs_ms: Vec<f64>,
    /// The class with the highest score, the same in all runs.
    pub top1: usize,
    /// From the file to ready to run.
    pub open_ms: f64,
    /// The instruction set that it says it uses, else the host's.
    pub isa: String,
}

/// Something that runs a network when asked to.
pub trait Runtime {
    fn name(&self) -> &str;
    fn version(&self) -> &str;
    /// Times `runs` runs after one that does not count.
    fn batch(&mut self, runs: u32) -> Result<Batch>;
}

// --- etalase

/// `etalase bench`, with one of its engines.
pub struct Etalase {
    command: PathBuf,
    model: PathBuf,
    engine: String,
    threads: u16,
    version: String,
}

impl Etalase {
    pub fn new(command: &Path, model: &Path, engine: &str, threads: u16) -> Result<Self> {
        let version = output(Command::new(command).arg("--version"))?;
        Ok(Self {
            command: command.into(),
            model: model.into(),
            engine: engine.into(),
            threads,
            version: version.split_whitespace().last().unwrap_or("").into(),
        })
    }
}

impl Runtime for Etalase {
    fn name(&self) -> &str {
        match self.engine.as_str() {
            "integer" => "etalase",
            other => other,
        }
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn batch(&mut self, runs: u32) -> Result<Batch> {
        let mut command = Command::new(&self.command);
        command.args(["bench", "--json", "--engine", &self.engine, "--onnx"]);
        command.arg(&self.model);
        command.args(["--threads", &self.threads.to_string()]);
        command.args(["--runs", &runs.to_string()]);
        let text = output(&mut command)?;
        etalase_batch(&text).with_context(|| report::shown(&command))
    }
}

/// Reads what `etalase bench --json` prints.
pub fn etalase_batch(text: &str) -> Result<Batch> {
    let value: Value = serde_json::from_str(text).with_context(|| format!("no JSON: {text:?}"))?;
    Ok(Batch {
        runs_ms: numbers(&value, "runs_ms")?,
        top1: class(&value)?,
        open_ms: value["open_ms"].as_f64().context("no open_ms")?,
        isa: value["isa"].as_str().context("no isa")?.into(),
    })
}

/// A command's stdout; the error tells its stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start: {}", report::shown(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{}: {}\n{complaint}", output.status, report::shown(command));
    }
    Ok(String::from_utf8(output.stdout)?)
}

// --- peers

/// The status that bench/peers.py ends with where the runtime is not installed.
const ABSENT: i32 = 3;

/// A process that answers every line with a JSON object a line. Dropping it ends the process.
pub struct Talk {
    name: String,
    child: Child,
    /// `None` once it is told to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Talk {
    /// Starts a script, called `name` where it fails.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start: {}", report::shown(command)))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("no stdout")?;
        Ok(Self {
            name: name.into(),
            child,
            requests,
            answers: BufReader::new(answers),
        })
    }

    /// Its next line.
    pub fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} ended, see above", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{}: no JSON: {line:?}", self.name))
    }

    pub fn ask(&mut self, request: &str) -> Result<Value> {
        let requests = self.requests.as_mut().context("has been ended")?;
        writeln!(requests, "{request}")
            .with_context(|| format!("{} does not listen", self.name))?;
        self.answer()
    }

    /// Tells it to end, and waits for that; its status.
    fn end(&mut self) -> Result<Option<i32>> {
        // The end of its input tells it.
        self.requests = None;
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// A runtime in bench/peers.py.
pub struct Peer {
    name: String,
    version: String,
    open_ms: f64,
    talk: Talk,
}

impl Peer {
    /// `None` where the runtime is not installed, which bench/peers.py says on stderr.
    pub fn start(python: &Path, name: &str, model: &Path, threads: u16) -> Result<Option<Self>> {
        let mut command = Command::new(python);
        command
            .arg(crate::root().join("bench/peers.py"))
            .arg(name)
            .arg(model)
            .args(["--threads", &threads.to_string()]);
        let mut talk = Talk::start(&format!("bench/peers.py {name}"), &mut command)?;
        let hello = match talk.answer() {
            Ok(hello) => hello,
            Err(error) => {
                return match talk.end()? {
                    Some(ABSENT) => Ok(None),
                    _ => Err(error),
                };
            }
        };
        Ok(Some(Self {
            name: name.into(),
            version: hello["version"].as_str().context("no version")?.into(),
            open_ms: hello["create_ms"].as_f64().context("no create_ms")?,
            talk,
        }))
    }
}

impl Runtime for Peer {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn batch(&mut self, runs: u32) -> Result<Batch> {
        let answer = self.talk.ask(&format!("run {}", runs + 1))?;
        let mut runs_ms = numbers(&answer, "runs_ms")?;
        runs_ms.remove(0);
        Ok(Batch {
            runs_ms,
            top1: class(&answer)?,
            open_ms: self.open_ms,
            isa: crate::isa::best().into(),
        })
    }
}

/// A member that holds numbers, at least one.
pub fn numbers(value: &Value, key: &str) -> Result<Vec<f64>> {
    let numbers = value[key].as_array();
    let numbers = numbers.with_context(|| format!("no {key}"))?;
    let numbers: Option<Vec<f64>> = numbers.iter().map(Value::as_f64).collect();
    let numbers = numbers.with_context(|| format!("{key}: no numbers"))?;
    if numbers.is_empty() {
        bail!("{key}: nothing in it");
    }
    Ok(numbers)
}

fn class(value: &Value) -> Result<usize> {
    let class = value["top1"].as_u64().context("no top1")?;
    Ok(usize::try_from(class)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etalase_bench_prints_is_read_whole() {
        let text =
            r#"{"isa":"avx2","open_ms":3.5,"runs_ms":[1.5,2],"top1":7,"peak_rss_bytes":null}"#;
        let batch = etalase_batch(text).unwrap();
        assert_eq!((batch.runs_ms, batch.top1), (vec![1.5, 2.0], 7));
        assert_eq!((batch.open_ms, batch.isa.as_str()), (3.5, "avx2"));
        for (part, without) in [(r#","top1":7"#, ""), ("[1.5,2]", "[]"), ("2]", "null]")] {
            assert!(
                etalase_batch(&text.replace(part, without)).is_err(),
                "{part}"
            );
        }
    }
}
