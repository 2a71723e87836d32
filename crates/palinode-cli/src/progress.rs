//! The progress of a training run.

use crate::allocator::MEMORY;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use palinode_train::train::{Observer, Progress, Row, StartReport};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A bar on a terminal, otherwise a line from time to time. Always on stderr.
pub struct Display {
    bar: ProgressBar,
    lines: bool,
    quiet: bool,
    stop: Arc<AtomicBool>,
    began: Instant,
    last_line: Option<Instant>,
    /// Steps done before this process began, which do not count for the time left.
    steps_before: Option<u64>,
}

impl Display {
    /// A display that also listens for Ctrl-C.
    pub fn new(quiet: bool) -> anyhow::Result<Self> {
        let lines = !quiet && !std::io::stderr().is_terminal();
        let target = match quiet || lines {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template(
            "{prefix:.bold} {bar:24.cyan/dim} {pos}/{len} {msg}",
        )?);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                // A second Ctrl-C does not wait for the checkpoint.
                std::process::exit(130);
            }
        })?;
        let began = Instant::now();
        Ok(Self { bar, lines, quiet, stop, began, last_line: None, steps_before: None })
    }

    /// Announces another run and resets the measurements.
    pub fn begin(&mut self, title: &str) {
        MEMORY.reset_peak();
        (self.began, self.last_line, self.steps_before) = (Instant::now(), None, None);
        if self.lines {
            eprintln!("{title}");
        } else {
            self.bar.println(title);
        }
    }

    fn time_left(&mut self, p: &Progress) -> Duration {
        let done = ((p.epoch - 1) * p.steps + p.step) as u64;
        let before = *self.steps_before.get_or_insert(done - 1);
        let left = (p.epochs * p.steps) as u64 - done;
        self.began.elapsed().mul_f64(left as f64 / (done - before) as f64)
    }
}

impl Observer for Display {
    fn started_from(&mut self, start: &StartReport) {
        if self.quiet {
            return;
        }
        let mut lines = vec![
            format!("weights from {}", start.file.display()),
            format!("  taken: {}", start.taken.join(", ")),
        ];
        for (name, reason) in &start.initialised {
            lines.push(format!("  initialised: {name} ({reason})"));
        }
        if !start.unused.is_empty() {
            lines.push(format!("  not used: {}", start.unused.join(", ")));
        }
        for line in lines {
            match self.lines {
                true => eprintln!("{line}"),
                false => self.bar.println(line),
            }
        }
    }

    fn step(&mut self, p: &Progress) {
        let left = self.time_left(p);
        let text = format!(
            "loss {:.4}  accuracy {:.2} %  {:.0} images/s  peak {:.0} MB  {} left",
            p.loss,
            100.0 * p.accuracy,
            p.images_per_second,
            MEMORY.peak() as f64 / 1e6,
            indicatif::HumanDuration(left),
        );
        if self.lines {
            let due = self.last_line.is_none_or(|at| at.elapsed() > Duration::from_secs(10));
            if due && p.step < p.steps {
                self.last_line = Some(Instant::now());
                eprintln!("epoch {}/{}  step {}/{}  {text}", p.epoch, p.epochs, p.step, p.steps);
            }
            return;
        }
        self.bar.set_prefix(format!("epoch {}/{}", p.epoch, p.epochs));
        self.bar.set_length(p.steps as u64);
        self.bar.set_position(p.step as u64);
        self.bar.set_message(text);
    }

    fn row(&mut self, row: &Row, epochs: usize) {
        let peak = match row.peak_bytes {
            Some(bytes) => format!("  peak {:.0} MB", bytes as f64 / 1e6),
            None => String::new(),
        };
        let text = format!(
            "epoch {}/{epochs}  {:<10}  loss {:.4}  accuracy {:.2} %  {:.1} s  {:.0} images/s{peak}",
            row.epoch,
            row.split,
            row.loss,
            100.0 * row.accuracy,
            row.seconds,
            row.images_per_second,
        );
        if self.lines {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    fn peak_bytes(&self) -> Option<u64> {
        Some(MEMORY.peak() as u64)
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
