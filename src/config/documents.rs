//! What is written from the table of settings: the example file, the page
//! `docs/settings.md`, the manual page, and the settings in effect.

use std::ffi::OsString;
use std::fmt::Write;

use super::definition::definition;
use super::key::{Backend, DefaultValue, Key};
use super::keys::KEYS;
use super::layers::{Layer, Layers, OPTIONS_VARIABLE, Origin};
use super::settings::{ElectrumSettings, Environment, Settings, SourceSettings};
use crate::text::wrap;

/// Columns of a page.
const WIDTH: usize = 80;

//------------ The settings in effect ----------------------------------------

/// The settings in effect in the form of the configuration file, each with its
/// origin. What the file cannot have, such as secrets, is commented out.
pub(super) fn effective(
    layers: &Layers,
    settings: &Settings,
    environment: Environment<'_>,
) -> String {
    let backend = Backend::of(&settings.source);
    let mut lines = String::new();
    for key in KEYS {
        let given = layers.given(key.name);
        let belongs = key.owner.is_none_or(|owner| owner == backend);
        match given {
            [] if !belongs || !key.is_in_file => {}
            [] => lines.push_str(&without(key, layers, settings, environment)),
            [first, ..] => {
                let name = key.name;
                let origin = origin(&first.origin);
                let values = given.iter().map(|setting| setting.value.to_str());
                let values = values.map(|value| Some(key.kind.to_toml(value?)));
                let line = match values.collect::<Option<Vec<_>>>() {
                    _ if key.is_secret => format!("#{name} = (set)"),
                    None => format!("#{name} = (not UTF-8)"),
                    Some(values) => {
                        let hash = if key.is_in_file { "" } else { "#" };
                        let value = values.join(", ");
                        match key.is_repeatable() {
                            true => format!("{hash}{name} = [{value}]"),
                            false => format!("{hash}{name} = {value}"),
                        }
                    }
                };
                lines.push_str(&format!("{line}  # {origin}\n"));
            }
        }
    }
    lines
}

/// The line of a setting that nobody gave.
fn without(
    key: &Key,
    layers: &Layers,
    settings: &Settings,
    environment: Environment<'_>,
) -> String {
    let name = key.name;
    match key.default {
        DefaultValue::Fixed(value) => format!("{name} = {}  # default\n", key.kind.to_toml(value)),
        DefaultValue::Unset => format!("#{name} =  # not set\n"),
        DefaultValue::Described(_, words) => format!("#{name} =  # default: {words}\n"),
        DefaultValue::Derived {
            value, variable, ..
        } => {
            let is_set = |name: &&str| environment(name).is_some_and(|value| !value.is_empty());
            let implied = layers.keys().find(|key| key.owner.is_some());
            let origin = match (variable.filter(is_set), implied) {
                (Some(variable), _) => format!("environment {variable}"),
                (None, Some(other)) if name == "backend" => format!("implied by {}", other.name),
                _ => "default".to_owned(),
            };
            match value(settings).map(OsString::into_string) {
                Some(Ok(value)) => {
                    format!("#{name} = {}  # {origin}\n", key.kind.to_toml(&value))
                }
                Some(Err(_)) => format!("#{name} = (not UTF-8)  # {origin}\n"),
                None => format!("#{name} =  # not set\n"),
            }
        }
    }
}

/// Where a setting came from.
fn origin(origin: &Origin) -> String {
    let mut text = match &origin.layer {
        Layer::Environment => format!("environment {OPTIONS_VARIABLE}"),
        Layer::CommandLine => "command line".to_owned(),
        // A path may hold a line break.
        Layer::File(path) => {
            let path = format!("{path:?}");
            path.trim_matches('"').to_owned()
        }
    };
    if let Some(line) = origin.line {
        let _ = write!(text, ", line {line}");
    }
    if let Some(go) = origin.go {
        let _ = write!(text, ", as {go} of ncprop279 (Go)");
    }
    text
}

//------------ What the documents say of a setting ---------------------------

/// The default of a setting as a sentence, and a value to show: the default,
/// or an example where there is none that could be written.
fn default_and_sample(key: &Key) -> (String, String, bool) {
    match key.default {
        DefaultValue::Fixed(value) => (format!("Default: {value}."), value.to_owned(), false),
        DefaultValue::Unset => (
            "Not set by default.".to_owned(),
            key.example.to_owned(),
            true,
        ),
        DefaultValue::Described(_, words) => {
            let sentence = format!("Default: {words}.");
            (sentence, key.example.to_owned(), true)
        }
        DefaultValue::Derived { words, value, .. } => {
            let sentence = format!("Default: {words}.");
            if !key.example.is_empty() {
                return (sentence, key.example.to_owned(), true);
            }
            let source = SourceSettings::Electrum(ElectrumSettings::default());
            let electrum = Settings {
                source,
                ..Settings::default()
            };
            let settings = match key.owner {
                Some(_) => electrum,
                None => Settings::default(),
            };
            let value = value(&settings).and_then(|value| value.into_string().ok());
            (sentence, value.unwrap_or_default(), false)
        }
    }
}

/// The groups with their settings.
fn groups() -> impl Iterator<Item = (&'static str, &'static [Key])> {
    let groups = KEYS.chunk_by(|one, other| one.group == other.group);
    groups.filter_map(|keys| Some((keys.first()?.group, keys)))
}

/// `contrib/ncprop279.toml`: every setting, commented out, with its default or
/// an example.
pub fn example_file() -> String {
    let comment = |text: &str| {
        let lines = wrap(text, 0, 0, WIDTH - 2);
        lines.lines().map(|line| format!("# {line}\n")).collect()
    };
    let head: String = comment(
        "Settings of ncprop279; name this file with --config. Each setting is here with its \
         default, or with an example if it has none. Remove the # to set one. Options on the \
         command line and in TOR_NS_PLUGIN_OPTIONS override this file. If it holds a password: \
         chmod 600. To try it: ncprop279 check --config FILE. (This file is generated.)",
    );
    let mut page = head;
    for (title, keys) in groups() {
        let rule = "-".repeat(WIDTH.saturating_sub(title.len() + 7));
        let _ = write!(page, "\n# --- {title} {rule}\n");
        for key in keys.iter().filter(|key| key.is_in_file) {
            let (default, sample, is_example) = default_and_sample(key);
            let value = key.kind.to_toml(&sample);
            let about = match (is_example, &key.default) {
                (true, _) => format!("{} {default} Example:", key.about),
                (false, DefaultValue::Fixed(_)) => key.about.to_owned(),
                (false, _) => format!("{} {default}", key.about),
            };
            let about: String = comment(&about);
            let value = match key.is_repeatable() {
                true => format!("[{value}]"),
                false => value,
            };
            let _ = write!(page, "\n{about}#{} = {value}\n", key.name);
        }
    }
    page
}

/// `docs/settings.md`: every setting in tables.
pub fn settings_page() -> String {
    let mut page = "\
# Settings

<!-- Generated: cargo run --example manual -- settings > docs/settings.md -->

A setting has the same name everywhere:

- on the command line: `--timeout 5`;
- in the environment variable `TOR_NS_PLUGIN_OPTIONS`:
  `timeout=5;rpc-address=127.0.0.1:8336`. Put a backslash before a semicolon or
  backslash in a value;
- in the TOML file that `--config` names: `timeout = 5`.
  `contrib/ncprop279.toml` has every setting.

The command line overrides the environment, and the environment overrides the
file. A switch without a value is `true`. `ncprop279 config` prints the settings
in effect and where each came from; `ncprop279 check` tests them.

The column *Go* has the name that ncprop279 (Go) used. Its options and its file
[still work](migrating.md).
"
    .to_owned();
    for (title, keys) in groups() {
        let _ = write!(
            page,
            "\n## {title}\n\n| Setting | Value | Default | Meaning | Go |\n| --- | --- | --- | --- | --- |\n"
        );
        for key in keys {
            let words = key.kind.words();
            let value = match words.as_slice() {
                [] => format!("`{}`", key.placeholder.replace('|', "\\|")),
                words => words
                    .iter()
                    .map(|word| format!("`{word}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let default = match key.default {
                DefaultValue::Fixed(value) => format!("`{value}`"),
                DefaultValue::Unset => "not set".to_owned(),
                DefaultValue::Derived { words, .. } | DefaultValue::Described(_, words) => {
                    words.to_owned()
                }
            };
            let go = key
                .go
                .as_ref()
                .map_or_else(String::new, |(name, _)| format!("`{name}`"));
            let mut about = key.about.to_owned();
            if !key.is_in_file {
                about.push_str(" Not in the file itself.");
            }
            let _ = writeln!(
                page,
                "| `{}` | {value} | {default} | {about} | {go} |",
                key.name
            );
        }
    }
    page
}

//------------ The manual page -----------------------------------------------

/// The paragraphs of the manual page before the commands.
const DESCRIPTION: &str = "\
Tor keeps a user's activities apart, each on circuits of its own. A naming client such as StemNS
takes connections to .bit names from Tor, and asks this program over its standard input and output
where each name leads, under an isolation id for each activity. The answer is an onion service, an
address or a host name. What one isolation id looks up changes neither the answer for another, nor
how long that takes, nor which connection through Tor carries it.

With the command serve it needs no naming client: it is a SOCKS and HTTP proxy in front of Tor's
SOCKS port, through which programs reach .bit names, and everything else as through Tor itself. With
--tor-control it is itself the naming client, for every program that uses that Tor.

The value of a name comes from a Namecoin node, from public Electrum servers, whose answers are
verified by proof of work, or from a file.

Without a command the program serves a naming client (Tor proposal 279).";

/// The manual page after the settings: titles of sections, and terms, each with
/// its text below it.
const SECTIONS: &str = "\
EXIT STATUS

plugin
0, also when its client or a signal ends it; 1 if its configuration cannot be used, which its INIT
line reports too.

resolve, records
The status of the protocol: 0 for an answer, 1 if it is not known for now or the command line or a
setting is wrong, 2 for a name outside .bit, 3 for a name that is not registered or has no answer,
4 if time ran out. resolve prints the answer on standard output, and why there is none on standard
error.

check
0 if lookups, and with the word serve that command, would work, else 1.

serve
0 if a signal ended it; 1 if the configuration cannot be used or an address cannot be listened on.

checkpoint
0 if it printed a block, else 1.

config, completions
0; 1 if the configuration cannot be used.

ENVIRONMENT

TOR_NS_PROTO_VERSION
The versions of the naming protocol that the client speaks; must contain 1.

TOR_NS_PLUGIN_OPTIONS
Settings, key=value;key=value. A semicolon or backslash in a value needs a backslash before it.

TOR_NS_STATE_LOCATION
The directory for block headers and keys of servers, unless state-directory names another.

NO_COLOR
If not empty, neither colours nor a progress bar are shown.

FILES

~/.namecoin/.cookie
The cookie by which Namecoin Core knows its user.

~/.local/state/ncprop279
Block headers and keys of Electrum servers, unless state-directory or TOR_NS_STATE_LOCATION names
another directory. Names are never written anywhere.

/usr/lib/systemd/user/ncprop279.service
A service of users for the command serve, where the Debian package is installed. systemctl --user
enable --now ncprop279 starts it.

/usr/lib/systemd/system/ncprop279-tor.service
A service of the system for serve --tor-control, where the Debian package is installed. systemctl
enable --now ncprop279-tor starts it.

/etc/ncprop279.conf, /etc/ncprop279/ncprop279.conf
Read where no --config is given, as ncprop279 (Go) read them.

/usr/share/doc/ncprop279/examples/ncprop279.toml
A configuration file with every setting, where the Debian package is installed.

EXAMPLES

ncprop279 check
See whether lookups work with a Namecoin node on this machine.

ncprop279 check --backend electrum --proxy 127.0.0.1:9050
The same without a node, with public Electrum servers through Tor.

ncprop279 serve --backend electrum
Open a SOCKS port at 127.0.0.1:9250, in front of Tor's at 127.0.0.1:9050.

ncprop279 check serve --backend electrum
See whether that would work.

ncprop279 serve --backend electrum --tor-control auto
Resolve names for every program that uses the Tor of this machine.

ncprop279 resolve --explain example.bit
Look a name up and see how its answer was found.

ncprop279 resolve --json --isolation some-id example.bit
Look a name up under an isolation id, for a program.

ncprop279 config --config ncprop279.toml
Print the settings in effect, and where each came from.";

/// The manual page in the format of man(7).
pub fn manual() -> String {
    let mut page = Roff::default();
    page.raw(&format!(
        ".TH NCPROP279 1 \"\" \"ncprop279 {}\" \"User Commands\"",
        env!("CARGO_PKG_VERSION")
    ));
    let command_line = definition(None);
    let about = command_line.get_about().map(ToString::to_string);
    page.section("NAME");
    let about = about.unwrap_or_default();
    page.text(&format!("ncprop279 - {}", about.trim_end_matches('.')));
    page.section("SYNOPSIS");
    page.raw(".B ncprop279\n[OPTIONS] [COMMAND]");
    page.section("DESCRIPTION");
    for text in DESCRIPTION.split("\n\n") {
        page.paragraph(&text.replace('\n', " "));
    }
    page.section("COMMANDS");
    for command in command_line.get_subcommands() {
        let arguments = command.get_positionals().filter(|one| !one.is_hide_set());
        let arguments = arguments.map(|one| match one.is_required_set() {
            true => format!(" {}", one.get_id()),
            false => format!(" [{}]", one.get_id()),
        });
        let arguments: String = arguments.collect();
        let about = command.get_about().map(ToString::to_string);
        let about = about.unwrap_or_default();
        page.term(
            &format!("{}{arguments}", command.get_name()),
            &(about + "."),
        );
        for option in command.get_opts() {
            if let (Some(long), Some(help)) = (option.get_long(), option.get_help()) {
                let value = match option.get_action().takes_values() {
                    true => option.get_value_names().and_then(<[_]>::first),
                    false => None,
                };
                let value = value.map_or_else(String::new, |value| format!(" {value}"));
                page.raw(".br");
                page.text(&format!("--{long}{value}: {help}."));
            }
        }
        if let Some(notes) = command.get_after_help() {
            let notes = notes.to_string().replace('\n', " ");
            if let Some((notes, _)) = notes.split_once("  ") {
                page.raw(".br");
                page.text(notes);
            }
        }
    }
    page.section("OPTIONS");
    for option in command_line
        .get_arguments()
        .filter(|one| KEYS.iter().all(|key| key.name != one.get_id().as_str()))
    {
        let short = option
            .get_short()
            .map_or_else(String::new, |short| format!("-{short}, "));
        let long = option.get_long().unwrap_or_default();
        let help = option
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        page.term(&format!("{short}--{long}"), &(help + "."));
    }
    for (title, keys) in groups() {
        page.raw(&format!(".SS {title}"));
        for key in keys {
            let value = match key.is_switch() {
                true => "[=BOOL]".to_owned(),
                false => format!(" {}", key.placeholder),
            };
            let (default, ..) = default_and_sample(key);
            page.term(
                &format!("--{}{value}", key.name),
                &format!("{} {default}", key.about),
            );
        }
    }
    page.section("NOTES");
    let notes = command_line.get_before_help().map(ToString::to_string);
    page.paragraph(&notes.unwrap_or_default());
    for part in SECTIONS.split("\n\n") {
        match part.split_once('\n') {
            Some((term, text)) => page.term(term, &text.replace('\n', " ")),
            None => page.section(part),
        }
    }
    page.section("SEE ALSO");
    page.text("tor(1), namecoind(1), and the pages that come with this program.");
    page.0
}

/// A page in the format of man(7).
#[derive(Default)]
struct Roff(String);

impl Roff {
    fn raw(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.raw(&format!(".SH {title}"));
    }

    fn paragraph(&mut self, text: &str) {
        self.raw(".PP");
        self.text(text);
    }

    fn term(&mut self, term: &str, text: &str) {
        self.raw(".TP");
        self.raw(&format!("\\fB{}\\fR", escaped(term)));
        self.text(text);
    }

    fn text(&mut self, text: &str) {
        for line in text.lines() {
            // A line that begins with a dot or quote would be a request.
            let guard = if line.starts_with(['.', '\'']) {
                "\\&"
            } else {
                ""
            };
            self.raw(&format!("{guard}{}", escaped(line)));
        }
    }
}

/// A text without the characters that mean something to roff.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}
