//! `palinode analyze robustness`.

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
use palinode_train::analysis::{Attack, Robustness, robustness, robustness_chart};
use serde_json::json;
use std::path::PathBuf;

/// Options of `palinode analyze robustness`.
#[derive(Debug, Args)]
pub struct RobustnessCommand {
    #[command(flatten)]
    networks: Networks,
    /// Which images.
    #[command(flatten)]
    data: DataSplit,
    /// Images: the first of the data set.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_most(1 << 24))]
    images: usize,
    /// Standard deviations of Gaussian noise, for pixels in 0…1.
    #[arg(long, value_name = "SIGMA,…", value_delimiter = ',', default_value = "0.05,0.1,0.2", value_parser = size)]
    gaussian: Vec<f64>,
    /// ε of the attacks FGSM and PGD, for pixels in 0…1.
    #[arg(long, value_name = "EPSILON,…", value_delimiter = ',', default_value = "0.01,0.02,0.04,0.08", value_parser = size)]
    epsilon: Vec<f64>,
    /// Steps of PGD.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_most(1000))]
    steps: usize,
    /// Batch size.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_most(65_536))]
    batch_size: usize,
    /// Seed of the noise and of PGD's starts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Directory for a picture, the table and the figures as JSON; it must be new or empty.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// The size of a change of pixels in 0…1.
fn size(text: &str) -> anyhow::Result<f64> {
    match text.parse() {
        Ok(size) if size > 0.0 && size <= 1.0 => Ok(size),
        _ => anyhow::bail!("expected a number above 0, 1 at the most"),
    }
}

impl RobustnessCommand {
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(out) = &self.out {
            make_empty(out)?;
        }
        let attacks = self.attacks();
        let device = Device::flex().autodiff();
        let (mut named, mut objects) = (Vec::new(), Vec::new());
        for (name, path) in self.networks.named() {
            let file = WeightFile::load(path)?;
            let dataset = self.data.load(&file)?;
            let network = file.network(Differentiation::Stored, &device)?.with_context(context)?;
            let sizes = (self.images, self.batch_size);
            let rows = robustness(network, (&dataset, &file.data), sizes, &attacks, self.seed)?;
            if !self.json {
                say!("{name}")?;
                for row in &rows {
                    say!("  {:<28} {:6.2} %", described(row.attack), 100.0 * row.accuracy)?;
                }
            }
            let model = &file.config.model;
            objects.push(json!({ "weights": shown(path), "model": model, "rows": rows }));
            named.push((name, rows));
        }
        let all = json!({ "images": self.images, "seed": self.seed, "networks": objects });
        if let Some(out) = &self.out {
            write_atomically(&out.join("robustness.json"), format!("{all}\n").as_bytes())?;
            let picture = robustness_chart(&named)?;
            write_atomically(&out.join("robustness.svg"), picture.as_bytes())?;
            write_atomically(&out.join("table.md"), table(&named).as_bytes())?;
        }
        match (self.json, &self.out) {
            (true, _) => say!("{all}"),
            (false, Some(out)) => say!("picture: {}", out.join("robustness.svg").display()),
            (false, None) => Ok(()),
        }
    }

    /// None at first, then by size.
    fn attacks(&self) -> Vec<Attack> {
        let steps = self.steps;
        let gaussian = [0.0].iter().chain(&self.gaussian);
        let gaussian = gaussian.map(|&epsilon| Attack::Gaussian { epsilon });
        let fgsm = self.epsilon.iter().map(|&epsilon| Attack::Fgsm { epsilon });
        let pgd = self.epsilon.iter().map(|&epsilon| Attack::Pgd { epsilon, steps });
        gaussian.chain(fgsm).chain(pgd).collect()
    }
}

fn described(attack: Attack) -> String {
    match attack {
        Attack::Gaussian { epsilon: 0.0 } => "unchanged".to_owned(),
        Attack::Gaussian { epsilon } => format!("Gaussian noise, {epsilon}"),
        Attack::Fgsm { epsilon } => format!("FGSM, ε = {epsilon}"),
        Attack::Pgd { epsilon, steps } => format!("PGD, ε = {epsilon}, {steps} steps"),
    }
}

/// One row per attack, one column per network.
fn table(named: &[(String, Vec<Robustness>)]) -> String {
    let heads = std::iter::once("accuracy, %".to_owned());
    let heads = heads.chain(named.iter().map(|(name, _)| name.clone())).collect();
    let attacks = named.first().map_or(&[][..], |(_, rows)| rows);
    let row = |(index, row): (usize, &Robustness)| {
        let of = |(_, rows): &(String, Vec<Robustness>)| {
            rows.get(index).map_or_else(String::new, |row| format!("{:.1}", 100.0 * row.accuracy))
        };
        std::iter::once(described(row.attack)).chain(named.iter().map(of)).collect()
    };
    markdown(heads, attacks.iter().enumerate().map(row).collect())
}
