//! Writes the manual page, which packages install, into a directory: `cargo run
//! --example manual -- DIRECTORY`.
//!
//! It is made from the same definition as `--help`.

use std::fs::{create_dir_all, write};
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

const NAME: &str = "ncprop279";

const DESCRIPTION: &[&str] = &[
    "Tor keeps a user's activities apart, each on circuits of its own. A naming client such as StemNS takes connections \
     to names in .bit from Tor and asks this program, over its standard input and output, what each name stands for, and \
     under which isolation id. The answer is an onion service, an address or a host name. Nothing that is looked up under \
     one isolation id can be seen in what another is answered, or from outside.",
    "Values of names come from a Namecoin node, from public Electrum servers, whose answers are verified by proof of \
     work, or from a file.",
    "Without a command the program serves a naming client (Tor proposal 279). A person uses these commands:",
];

/// What follows the options.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "EXIT STATUS",
        &[
            "As a plugin: 0, also when it is told to end by its client or a signal; 1 if its configuration cannot be used, \
             which it tells in its INIT line too.",
            "resolve prints the answer on standard output, and why there is none on standard error. Its status is that of the protocol: 0 for an answer, 1 if it is not known for now, 2 for a name outside .bit, \
             3 for one that is not registered, 4 if the time was over.",
            "records: as resolve. check: 0 if lookups would work, else 1. checkpoint: 0 if it printed a block, else 1.",
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            "TOR_NS_PROTO_VERSION: the versions of the naming protocol that the client speaks; must contain 1.",
            "TOR_NS_PLUGIN_OPTIONS: settings, key=value;key=value. A semicolon or backslash in a value has a backslash in \
             front.",
            "TOR_NS_STATE_LOCATION: the directory in which block headers and keys of servers are kept, unless \
             state-directory names another.",
        ],
    ),
    (
        "FILES",
        &[
            "~/.namecoin/.cookie: the cookie by which Namecoin Core knows its user.",
            "~/.local/state/ncprop279: block headers and keys of Electrum servers, unless state-directory or \
             TOR_NS_STATE_LOCATION names another directory. \
             Names are never written anywhere.",
        ],
    ),
    (
        "SEE ALSO",
        &["tor(1), namecoind(1), and the pages that come with this program."],
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .ok_or("usage: manual DIRECTORY")?;
    let directory = Path::new(&directory);
    create_dir_all(directory)?;
    write(directory.join(format!("{NAME}.1")), manual()?)?;
    Ok(())
}

/// The manual page.
pub fn manual() -> std::io::Result<Vec<u8>> {
    let man = Man::new(ncprop279::config::command_line())
        .date("")
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]);
    section.text([bold(NAME), roman(" [OPTIONS] [COMMAND]")]);
    section.to_writer(&mut page)?;
    paragraphs("DESCRIPTION", DESCRIPTION).to_writer(&mut page)?;
    commands().to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let notes = ncprop279::config::command_line()
        .get_after_help()
        .map(ToString::to_string);
    paragraphs("NOTES", &[&notes.unwrap_or_default()]).to_writer(&mut page)?;
    for (title, texts) in SECTIONS {
        paragraphs(title, texts).to_writer(&mut page)?;
    }
    Ok(page)
}

/// A section of plain paragraphs.
fn paragraphs(title: &str, texts: &[&str]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for text in texts {
        section.control("PP", []);
        section.text([roman(*text)]);
    }
    section
}

/// The commands with their arguments.
fn commands() -> Roff {
    let mut section = Roff::new();
    for command in ncprop279::config::command_line().get_subcommands() {
        let arguments: String = command
            .get_positionals()
            .filter(|argument| !argument.is_hide_set())
            .map(|argument| match argument.is_required_set() {
                true => format!(" {}", argument.get_id()),
                false => format!(" [{}]", argument.get_id()),
            })
            .collect();
        section.control("TP", []);
        section.text([bold(command.get_name()), roman(arguments)]);
        let about = command.get_about().map(ToString::to_string);
        section.text([roman(about.unwrap_or_default())]);
        for option in command.get_opts() {
            let (Some(long), Some(help)) = (option.get_long(), option.get_help()) else {
                continue;
            };
            section.control("br", []);
            let value = option
                .get_value_names()
                .filter(|_| option.get_action().takes_values());
            let value: String = value
                .iter()
                .copied()
                .flatten()
                .map(|name| format!(" {name}"))
                .collect();
            section.text([bold(format!("--{long}")), roman(format!("{value}: {help}"))]);
        }
    }
    section
}
