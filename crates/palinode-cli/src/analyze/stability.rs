//! `palinode analyze stability`.

use super::networks::Networks;
use super::output::{make_empty, markdown};
use crate::options::{DataSplit, at_most};
use crate::output::{say, shown};
use clap::Args;
use palinode::Context;
use palinode::file::write_atomically;
use palinode::network::WeightFile;
use palinode::reversible::Differentiation;
use palinode::tensor::Device;
use palinode_train::analysis::{
    BlockStability, NetworkStability, StabilityOptions, bounds_chart, growth_chart, spectrum_chart,
    stability, stability_page, stability_table,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Options of `palinode analyze stability`.
#[derive(Debug, Args)]
pub struct Stability {
    #[command(flatten)]
    networks: Networks,
    /// Which images.
    #[command(flatten)]
    data: DataSplit,
    /// Images: the first of the data set.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_most(64))]
    images: usize,
    /// Of how many blocks of a unit the Jacobian is examined.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = at_most(100_000))]
    blocks: usize,
    /// Random directions whose growth is followed.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_most(1024))]
    directions: usize,
    /// Seed of the random vectors.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Directory for a page, its pictures, the table and the figures as JSON; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Stability {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(out) = &self.out {
            make_empty(out)?;
        }
        let options = StabilityOptions {
            blocks: self.blocks,
            directions: self.directions,
            seed: self.seed,
            ..StabilityOptions::default()
        };
        let (mut named, mut objects) = (Vec::new(), Vec::new());
        for (name, path) in self.networks.named() {
            let file = WeightFile::load(path)?;
            let device = Device::flex();
            let images = self.data.first_images(&file, self.images, &device)?;
            let network = file.network(Differentiation::Stored, &device)?.with_context(context)?;
            let found = stability(network, images, &options)?;
            if !self.json {
                print(&name, &found)?;
            }
            objects.push(object(path, &file.config.model, &found));
            named.push((name, found));
        }
        let images = self.images;
        let all = json!({ "images": images, "seed": self.seed, "networks": objects });
        if let Some(out) = &self.out {
            write_atomically(&out.join("stability.json"), format!("{all}\n").as_bytes())?;
            write_atomically(&out.join("spectrum.svg"), spectrum_chart(&named)?.as_bytes())?;
            write_atomically(&out.join("bounds.svg"), bounds_chart(&named)?.as_bytes())?;
            write_atomically(&out.join("growth.svg"), growth_chart(&named)?.as_bytes())?;
            let (heads, rows) = stability_table(&named);
            write_atomically(&out.join("table.md"), markdown(heads, rows).as_bytes())?;
            let page = stability_page(&named, images)?;
            write_atomically(&out.join("stability.html"), page.as_bytes())?;
        }
        match (self.json, &self.out) {
            (true, _) => say!("{all}")?,
            (false, Some(out)) => say!("page: {}", out.join("stability.html").display())?,
            (false, None) => {}
        }
        Ok(())
    }
}

/// The figures of a network, with what follows from them.
fn object(path: &Path, model: &str, found: &NetworkStability) -> Value {
    let units = found.units.iter().map(|unit| {
        let mut object = json!({
            "stable": unit.is_stable(),
            "max_real": unit.rightmost().map(|block| block.rightmost.real),
            "max_real_error": unit.rightmost().map(|block| block.error),
            "spectral_radius": unit.radius(),
            "limit": unit.limit(),
            "largest_safe_step": unit.largest_safe_step(),
            "mean_exponent": unit.growth.mean_exponent(),
            "worst_exponent": unit.growth.worst_exponent(),
        });
        if let (Some(object), Ok(Value::Object(figures))) =
            (object.as_object_mut(), serde_json::to_value(unit))
        {
            object.extend(figures);
        }
        object
    });
    json!({
        "weights": shown(path),
        "model": model,
        "mean_exponent": found.growth.mean_exponent(),
        "worst_exponent": found.growth.worst_exponent(),
        "units": units.collect::<Vec<_>>(),
        "growth": found.growth,
    })
}

fn print(name: &str, found: &NetworkStability) -> anyhow::Result<()> {
    say!("{name}")?;
    for (index, unit) in found.units.iter().enumerate() {
        let right = unit.rightmost();
        let real = right.map_or_else(|| "–".to_owned(), BlockStability::real_part);
        let verdict =
            if unit.is_stable() { "equation 2 holds" } else { "equation 2 does not hold" };
        let bound = match (unit.largest_bound(), unit.limit(), unit.largest_safe_step()) {
            (Some(bound), Some(limit), Some(step)) => {
                format!("bound {bound:.2}, limit {limit}: h up to {step:.2}")
            }
            _ => "no bound is known".to_owned(),
        };
        say!(
            "  unit {index}: max Re λ {real}, {verdict}; max |hλ| {:.2} ({bound}); exponents {:.2} \
             (mean), {:.2} (worst)",
            unit.step * unit.radius(),
            unit.growth.mean_exponent(),
            unit.growth.worst_exponent()
        )?;
    }
    say!(
        "  network: exponents {:.2} (mean), {:.2} (worst)",
        found.growth.mean_exponent(),
        found.growth.worst_exponent()
    )
}
