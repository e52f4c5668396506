//! Tables of measurements: aligned for people, CSV with plain numbers for programs; and what has to
//! stand beside any measurement, the commit and the CPU.

use std::process::Command;

/// Columns of text, all rows as long as the header.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        let header = header.iter().map(ToString::to_string).collect();
        Self { rows: vec![header] }
    }

    pub fn add<const N: usize>(&mut self, row: [&str; N]) {
        debug_assert_eq!(self.rows[0].len(), N);
        self.rows.push(row.map(String::from).to_vec());
    }

    /// Two columns of names to the left, all others to the right.
    pub fn aligned(&self) -> String {
        let width = |column: usize| {
            let lengths = self.rows.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        text
    }

    /// Commas between, no quotes: a comma inside a cell becomes a space.
    pub fn csv(&self) -> String {
        let line = |row: &Vec<String>| {
            let cells: Vec<_> = row
                .iter()
                .map(|cell| cell.replace([',', '\n'], " "))
                .collect();
            cells.join(",") + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// Of sorted values, the nearest rank; the middle of two for an even number's median.
pub fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    if fraction == 0.5 {
        return (at(position.floor()) + at(position.ceil())) / 2.0;
    }
    at(position.round())
}

/// The commit of this checkout, `-dirty` if files differ from it.
pub fn commit() -> String {
    let mut git = Command::new("git");
    git.current_dir(crate::root());
    git.args(["describe", "--always", "--dirty", "--exclude=*"]);
    match git.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().into()
        }
        _ => "unknown".into(),
    }
}

/// The CPU's own name, where the system tells it.
pub fn cpu() -> String {
    let linux = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = linux.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_string())
    });
    let apple = || {
        let mut sysctl = Command::new("sysctl");
        let output = sysctl.args(["-n", "machdep.cpu.brand_string"]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    name.or_else(apple)
        .unwrap_or_else(|| std::env::consts::ARCH.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_odd_even_and_none() {
        assert_eq!(percentile(&[1.0, 2.0, 9.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 4.0, 9.0], 0.5), 3.0);
        let eleven: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!([0.1, 0.9].map(|at| percentile(&eleven, at)), [1.0, 9.0]);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn tables_align_and_csv_has_a_column_a_comma() {
        let mut table = Table::new(&["cpu", "runtime", "ms"]);
        table.add(["A, B", "x", "10.5"]);
        assert_eq!(table.csv(), "cpu,runtime,ms\nA  B,x,10.5\n");
        assert_eq!(
            table.aligned(),
            "cpu   runtime    ms\nA, B  x        10.5\n"
        );
    }
}
