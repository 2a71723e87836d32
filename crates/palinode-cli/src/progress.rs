//! The progress of a training run.

use crate::allocator::MEMORY;
use crate::output::{note, plain, remark};
use crate::signals::Signals;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use palinode_train::report::{duration, loss};
use palinode_train::train::{Observer, Progress, Row, StartReport};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A bar on a terminal, otherwise a line from time to time. Always on stderr.
pub struct Display {
    bar: ProgressBar,
    lines: bool,
    quiet: bool,
    signals: Signals,
    last_line: Option<Instant>,
    /// When the first step of this process ended, and the steps done then. The first step is no measure:
    /// it also fills caches.
    first: Option<(Instant, u64)>,
}

impl Display {
    /// A display of a run that `signals` can stop.
    pub fn new(quiet: bool, signals: &Signals) -> anyhow::Result<Self> {
        let lines = !quiet && !std::io::stderr().is_terminal();
        let target = match quiet || lines {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template(
            "{prefix:.bold} {bar:24.cyan/dim} {pos}/{len} {msg}",
        )?);
        Ok(Self { bar, lines, quiet, signals: signals.clone(), last_line: None, first: None })
    }

    /// Announces another run and resets the measurements.
    pub fn begin(&mut self, title: &str) {
        MEMORY.reset_peak();
        (self.last_line, self.first) = (None, None);
        self.line(title);
    }

    /// Writes a line above the bar.
    fn line(&self, text: &str) {
        match (self.quiet, self.lines) {
            (true, _) => (),
            (false, true) => note(format_args!("{}", plain(text))),
            (false, false) => self.bar.println(plain(text)),
        }
    }

    /// Whether a line is due that is written from time to time.
    fn is_due(&mut self) -> bool {
        let due = self.last_line.is_none_or(|at| at.elapsed() > Duration::from_secs(10));
        if due {
            self.last_line = Some(Instant::now());
        }
        due
    }

    fn show(&self, prefix: String, position: u64, length: u64, message: String) {
        self.bar.set_prefix(prefix);
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// "12 min left", from the mean time of a step; nothing after the first step.
    fn time_left(&mut self, p: &Progress) -> String {
        let done = ((p.epoch - 1) * p.steps + p.step) as u64;
        let (since, before) = *self.first.get_or_insert_with(|| (Instant::now(), done));
        if done <= before {
            return String::new();
        }
        let left = (p.epochs * p.steps) as u64 - done;
        let seconds = since.elapsed().as_secs_f64() * left as f64 / (done - before) as f64;
        format!("  {} left", duration(seconds))
    }
}

impl Observer for Display {
    fn started_from(&mut self, start: &StartReport) {
        self.line(&format!("weights from {}", start.file.display()));
        self.line(&format!("  taken: {}", start.taken.join(", ")));
        for (name, reason) in &start.initialised {
            self.line(&format!("  initialised: {name} ({reason})"));
        }
        if !start.unused.is_empty() {
            self.line(&format!("  not used: {}", start.unused.join(", ")));
        }
    }

    fn loading(&mut self, done: usize, pictures: usize) {
        if !self.lines {
            self.show("loading".to_owned(), done as u64, pictures as u64, "pictures".to_owned());
        } else if self.last_line.is_none() {
            // Few pictures need no line.
            self.last_line = Some(Instant::now());
        } else if done < pictures && self.is_due() {
            self.line(&format!("loading  {done} of {pictures} pictures"));
        }
    }

    fn remark(&mut self, text: &str) {
        // Also where no progress is wanted.
        self.bar.suspend(|| remark(text));
    }

    fn begins(&mut self) {
        self.signals.listen();
    }

    fn resumed(&mut self, epoch: usize, epochs: usize, step: usize) {
        self.line(&match step {
            0 => format!("going on at the beginning of epoch {epoch}/{epochs}"),
            _ => format!("going on in epoch {epoch}/{epochs}, after step {step}"),
        });
    }

    fn step(&mut self, p: &Progress) {
        let left = self.time_left(p);
        // A device is read every few steps.
        let found = match p.loss.is_nan() {
            true => "not read yet".to_owned(),
            false => format!("loss {}  accuracy {:.2} %", loss(p.loss), 100.0 * p.accuracy),
        };
        let drift = match p.drift {
            0.0 => String::new(),
            drift => format!("  drift {drift:.0e}"),
        };
        let text = format!(
            "{found}  {:.0} images/s  peak {:.0} MB{drift}{left}",
            p.images_per_second,
            MEMORY.peak() as f64 / 1e6,
        );
        let epoch = format!("epoch {}/{}", p.epoch, p.epochs);
        if !self.lines {
            self.show(epoch, p.step as u64, p.steps as u64, text);
        } else if p.step < p.steps && self.is_due() {
            self.line(&format!("{epoch}  step {}/{}  {text}", p.step, p.steps));
        }
    }

    fn row(&mut self, row: &Row, epochs: usize) {
        let peak = match row.peak_bytes {
            Some(bytes) => format!("  peak {:.0} MB", bytes as f64 / 1e6),
            None => String::new(),
        };
        self.line(&format!(
            "epoch {}/{epochs}  {:<10}  loss {}  accuracy {:.2} %  {:.1} s  {:.0} images/s{peak}",
            row.epoch,
            row.split,
            loss(row.loss),
            100.0 * row.accuracy,
            row.seconds,
            row.images_per_second,
        ));
    }

    fn peak_bytes(&self) -> Option<u64> {
        Some(MEMORY.peak() as u64)
    }

    fn stop_requested(&self) -> bool {
        self.signals.stop_requested()
    }
}

/// The progress of a rank that is not shown: the first rank shows that of a run of all ranks.
pub struct Unseen {
    signals: Signals,
    /// The run of this rank alone that it is busy with, if it is.
    own: Option<String>,
}

impl Unseen {
    /// A run of all ranks that `signals` can stop.
    pub fn new(signals: &Signals) -> Self {
        Self { signals: signals.clone(), own: None }
    }

    /// Begins a run of this rank alone, and resets the measurements. What is remarked of it is shown.
    pub fn begin(&mut self, title: &str) {
        MEMORY.reset_peak();
        self.own = Some(title.to_owned());
    }
}

impl Observer for Unseen {
    fn remark(&mut self, text: &str) {
        if let Some(own) = &self.own {
            remark(&format!("{own}: {text}"));
        }
    }

    fn begins(&mut self) {
        self.signals.listen();
    }

    fn peak_bytes(&self) -> Option<u64> {
        Some(MEMORY.peak() as u64)
    }

    fn stop_requested(&self) -> bool {
        self.signals.stop_requested()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
