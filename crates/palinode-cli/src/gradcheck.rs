//! `palinode gradcheck`.

use crate::options::{DataSplit, at_most};
use crate::outcome::ChecksFailed;
use crate::output::say;
use clap::Args;
use palinode::Context;
use palinode::check::{Finding, check_network};
use palinode::network::WeightFile;
use palinode::tensor::Device;
use palinode_train::recipe::{Recipe, parse_override};
use palinode_train::train::initial_network;
use serde_json::json;
use std::path::PathBuf;

/// Options of `palinode gradcheck`.
#[derive(Debug, Args)]
#[group(id = "network", required = true, multiple = false, args = ["weights", "recipe"])]
pub struct Gradcheck {
    /// Weight file to check.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Recipe whose network to check, with its initial weights, on its own training images.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Any field of the recipe, for instance model.step=0.5; may be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE", requires = "recipe")]
    set: Vec<String>,
    /// Which images, with --weights.
    #[command(flatten)]
    data: DataSplit,
    /// Images: the first of the data set.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_most(256))]
    images: usize,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Gradcheck {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        let device = Device::flex().autodiff();
        let (network, images) = match (&self.weights, &self.recipe) {
            (Some(path), _) => {
                let file = WeightFile::load(path)?;
                let images = self.data.first_images(&file, self.images, &Device::flex())?;
                (file.network(file.config.usual_mode(), &device)?, images)
            }
            (None, Some(path)) => {
                anyhow::ensure!(!self.data.is_given(), "--data: the recipe names its images");
                let overrides: Vec<_> =
                    self.set.iter().map(|text| parse_override(text)).collect::<Result<_, _>>()?;
                initial_network(&Recipe::load(path, &overrides)?.resolved()?, self.images)?
            }
            (None, None) => anyhow::bail!("expected --weights or --recipe"),
        };
        let found = check_network(&network.with_context(context)?, images)?;
        let failed = found.iter().filter(|finding| !finding.passed).count();
        if self.json {
            say!("{}", json!({ "passed": failed == 0, "checks": found }))?;
        } else {
            found.iter().try_for_each(print)?;
        }
        match failed {
            0 => Ok(()),
            count => Err(ChecksFailed { count, of: found.len() }.into()),
        }
    }
}

fn print(finding: &Finding) -> anyhow::Result<()> {
    let Finding { check, place, value, expected: [low, high], passed } = finding;
    let verdict = if *passed { "passed" } else { "FAILED" };
    let expected = match (*low == 0.0, *high == 0.0) {
        (_, true) => "0".to_owned(),
        (true, false) => format!("at most {high:.0e}"),
        (false, false) => format!("{low} to {high}"),
    };
    say!("{verdict}  {check:<19} {place:<17} {value:>10.2e}  (expected {expected})")
}
