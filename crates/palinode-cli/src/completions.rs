//! `palinode completions` and `palinode man`.

use crate::output::say;
use clap::{Args, Command};
use clap_complete::Shell;

/// Options of `palinode completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the completion script of `program`.
    pub fn run(self, mut program: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "palinode", &mut script);
        say!("{}", String::from_utf8(script)?.trim_end())
    }
}

/// Prints the man page of `program` and of all its sub-commands.
pub fn man(program: Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    // Not the list of sub-commands, which refers to pages of their own: they are sections here.
    let whole = clap_mangen::Man::new(program.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    sections(&program, "palinode", &mut page)?;
    say!("{}", String::from_utf8(page)?.trim_end())
}

/// The options of every sub-command of `command`, whose name with those of its parents is `name`.
fn sections(command: &Command, name: &str, page: &mut Vec<u8>) -> anyhow::Result<()> {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let name = format!("{name} {}", inner.get_name());
        page.extend(format!(".SH {}\n", name.to_uppercase()).into_bytes());
        let section = clap_mangen::Man::new(inner.clone().name(name.clone()).bin_name(&name));
        section.render_description_section(page)?;
        section.render_synopsis_section(page)?;
        if inner.get_arguments().next().is_some() {
            section.render_options_section(page)?;
        }
        sections(inner, &name, page)?;
    }
    Ok(())
}
