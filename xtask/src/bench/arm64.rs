//! `cargo xtask bench --arm64`: instructions that a run of the network executes on three arm64 CPUs.
//!
//! `etalase` is cross-built and run under qemu-user with a counting plugin (bench/arm_counter.c),
//! once for each network and CPU. The counts are the same on every machine and on every repeat to
//! a fraction of a percent. Shown beside are the peers' counts from bench/arm64_peers.csv.
//! Left out: time, which qemu cannot tell; peers are not run here; one thread only, as the counter
//! is not atomic.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::runtime::etalase_batch;
use super::{Args, Found, Place, Table, commit};
use crate::arm64::{CPUS, Cpu, QEMU, TARGET, cross_cargo};
use crate::{report, setup};

/// One line of the plugin, in the order of `CLASSES`.
type Counts = [u64; CLASSES.len()];
const CLASSES: [&str; 6] = ["all", "dot", "mmla", "widening", "simd", "memory"];

/// `ratio`: of all instructions to the best peer's at that CPU.
const CSV_COLUMNS: [&str; 15] = [
    "commit",
    "cpu",
    "isa",
    "runtime",
    "version",
    "network",
    "threads",
    "warm_up",
    "million_instructions",
    "million_dot",
    "million_mmla",
    "million_widening",
    "million_simd",
    "million_memory",
    "ratio",
];

pub fn run(args: &Args, networks: &[String], place: &Place) -> Result<Found> {
    let plugin = build_plugin()?;
    let program = cross_build()?;
    let peers = read_peers(include_str!("../../../bench/arm64_peers.csv"))?;
    let commit = commit();
    let mut found = Found {
        csv: Table::new(&CSV_COLUMNS),
        shown: Table::new(&[
            "network", "cpu", "runtime", "million", "dot", "mmla", "widening", "simd", "memory",
            "ratio", "answer",
        ]),
        wrong: Vec::new(),
    };
    for network in networks {
        let reference = place.reference(network)?;
        let model = place.model(network, "etalase");
        for machine in CPUS {
            let cpu = machine.name;
            let at_this = |peer: &&PeerCount| peer.network == *network && peer.cpu == cpu;
            let peers: Vec<_> = peers.iter().filter(at_this).collect();
            let int8 = peers.iter().filter(|peer| peer.runtime != "tract");
            let best = int8.map(|peer| peer.million).min_by(f64::total_cmp);
            let ratio =
                |million: f64| best.map_or(String::new(), |best| format!("{:.3}", million / best));
            for engine in &args.engines {
                let (counts, batch) = count(&plugin, &program, &machine, &model, engine)?;
                let million = counts.map(|count| format!("{:.2}", count as f64 / 1e6));
                let [all, dot, mmla, widening, simd, memory] = million.each_ref();
                let ratio = ratio(counts[0] as f64 / 1e6);
                let runtime = if engine == "integer" {
                    "etalase"
                } else {
                    engine
                };
                let answer = if batch.top1 == reference {
                    "ok"
                } else {
                    "differs"
                };
                if batch.top1 != reference && runtime == "etalase" {
                    found.wrong.push(format!("{network} at {cpu}"));
                }
                found.shown.add([
                    network, cpu, runtime, all, dot, mmla, widening, simd, memory, &ratio, answer,
                ]);
                found.csv.add([
                    &commit,
                    cpu,
                    &batch.isa,
                    runtime,
                    env!("CARGO_PKG_VERSION"),
                    network,
                    "1",
                    "1",
                    all,
                    dot,
                    mmla,
                    widening,
                    simd,
                    memory,
                    &ratio,
                ]);
            }
            for peer in peers {
                let million = format!("{:.2}", peer.million);
                let ratio = ratio(peer.million);
                let runtime = format!("{} (stored)", peer.runtime);
                found.shown.add([
                    network, cpu, &runtime, &million, "", "", "", "", "", &ratio, "",
                ]);
            }
        }
        eprintln!("{network}: done");
    }
    Ok(found)
}

/// The last run's counts, and what `etalase bench` printed.
fn count(
    plugin: &Path,
    program: &Path,
    cpu: &Cpu,
    model: &Path,
    engine: &str,
) -> Result<(Counts, super::runtime::Batch)> {
    let mut command = Command::new(QEMU);
    command.args(&cpu.runner()[1..]).arg("-plugin");
    command.arg(plugin).arg(program);
    command.args(["bench", "--json", "--mark", "--threads", "1", "--runs", "2"]);
    command.args(["--engine", engine, "--onnx"]).arg(model);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start: {}", report::shown(&command)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{}: {}\n{said}", output.status, report::shown(&command));
    }
    let batch = etalase_batch(&String::from_utf8(output.stdout)?)?;
    let marks: Vec<Counts> = said.lines().filter_map(counted).collect();
    let counts = last_run(&marks)
        .with_context(|| format!("nothing counted: {}\n{said}", report::shown(&command)))?;
    Ok((counts, batch))
}

/// Reads "counted all=1 dot=2 …".
fn counted(line: &str) -> Option<Counts> {
    let mut parts = line.strip_prefix("counted ")?.split(' ');
    let mut counts = Counts::default();
    for (name, count) in CLASSES.iter().zip(&mut counts) {
        let value = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
        *count = value.parse().ok()?;
    }
    Some(counts)
}

/// The last interval between marks that holds a run: the first mark closes what came before all
/// runs, and what lies between two runs (comparing their answers) is next to nothing.
fn last_run(marks: &[Counts]) -> Option<Counts> {
    let intervals = marks.get(1..)?;
    let largest = intervals.iter().map(|counts| counts[0]).max()?;
    let mut runs = intervals.iter().filter(|counts| counts[0] > largest / 10);
    runs.next_back().copied()
}

// --- what has to be built

fn build_plugin() -> Result<PathBuf> {
    let plugin = crate::release_dir()?.join("libarm_counter.so");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-shared", "-fPIC", "-o"]);
    cc.arg(&plugin)
        .arg(crate::root().join("bench/arm_counter.c"));
    report::run(&mut cc).context("needs a C compiler")?;
    Ok(plugin)
}

fn cross_build() -> Result<PathBuf> {
    setup::arm64_packages()?;
    let mut cargo = cross_cargo();
    cargo.args(["build", "--release", "--locked", "-p", "etalase-cli"]);
    report::run(cargo.args(["--target", TARGET]))?;
    // Beside xtask's own release folder, wherever CARGO_TARGET_DIR puts that.
    let release = crate::release_dir()?;
    let target = release.parent().unwrap_or(&release);
    Ok(target.join(TARGET).join("release").join("etalase"))
}

// --- peers

#[derive(Debug)]
struct PeerCount {
    network: String,
    cpu: String,
    runtime: String,
    million: f64,
}

/// Columns network, cpu, runtime, million_instructions, source.
fn read_peers(text: &str) -> Result<Vec<PeerCount>> {
    let line = |line: &str| {
        let cells: Vec<&str> = line.splitn(5, ',').collect();
        let [network, cpu, runtime, million, _source] = cells[..] else {
            bail!("bench/arm64_peers.csv: not five columns: {line}");
        };
        Ok(PeerCount {
            network: network.into(),
            cpu: cpu.into(),
            runtime: runtime.into(),
            million: million
                .parse()
                .with_context(|| format!("bench/arm64_peers.csv: no number: {line}"))?,
        })
    };
    text.lines().skip(1).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_s_lines_are_read() {
        let line = "counted all=60 dot=5 mmla=4 widening=3 simd=2 memory=1";
        assert_eq!(counted(line), Some([60, 5, 4, 3, 2, 1]));
        assert_eq!(counted("counted all=60 dot=5"), None);
        assert_eq!(counted("etalase: all=60"), None);
    }

    #[test]
    fn marks_at_both_ends_of_a_run_and_marks_between_runs_give_the_same() {
        let of = |all: u64| [all, 0, 0, 0, 0, 0];
        let both_ends = [900, 150, 1, 100, 1, 101].map(of);
        let between = [900, 150, 100, 101].map(of);
        assert_eq!(last_run(&both_ends), Some(of(101)));
        assert_eq!(last_run(&between), Some(of(101)));
        assert_eq!(last_run(&[of(900)]), None);
        assert_eq!(last_run(&[]), None);
    }

    #[test]
    fn every_network_has_int8_peers_at_every_cpu() {
        let peers = read_peers(include_str!("../../../bench/arm64_peers.csv")).unwrap();
        for network in &super::super::NETWORKS[..4] {
            for Cpu { name: cpu, .. } in CPUS {
                for runtime in ["onnxruntime", "litert"] {
                    let same = |peer: &&PeerCount| {
                        (&peer.network[..], &peer.cpu[..], &peer.runtime[..])
                            == (*network, cpu, runtime)
                    };
                    assert_eq!(
                        peers.iter().filter(same).count(),
                        1,
                        "{network} {cpu} {runtime}"
                    );
                }
            }
        }
        assert!(read_peers("header\na,b,c\n").is_err());
        assert!(read_peers("header\na,b,c,x,d\n").is_err());
    }
}
