//! Where the results of an analysis go.

use anyhow::ensure;
use std::path::Path;

/// Makes the directory of `--out`, which must be new or empty.
pub(super) fn make_empty(path: &Path) -> anyhow::Result<()> {
    let io = |error| palinode::Error::io(path)(error);
    std::fs::create_dir_all(path).map_err(io)?;
    let free = std::fs::read_dir(path).map_err(io)?.next().is_none();
    ensure!(free, "--out {}: the directory is not empty; name a new one", path.display());
    Ok(())
}

/// A table as Markdown.
pub(super) fn markdown(heads: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}\n", "---|".repeat(heads.len()));
    let rows = rows.iter().map(|row| line(row));
    [line(&heads), rule].into_iter().chain(rows).collect()
}
