//! The ready files in `contrib/`, as the program and StemNS take them.
//!
//! Needs `python3`, which StemNS is written in.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::plugin::Start;
use ncprop279::config::settings::Settings;
use ncprop279::config::{self, Outcome, command_line};
use serde_json::Value;

/// A proxy at which nobody listens, in the place of Tor's: no test may reach a
/// network.
const NO_PROXY: &str = "127.0.0.1:1";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("contrib")
        .join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// The names of all files, below `contrib/`.
fn files() -> Vec<String> {
    let mut names = Vec::new();
    let mut directories = vec![path("")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let found = entry.unwrap().path();
            if found.is_dir() {
                directories.push(found);
            } else {
                let name = found.strip_prefix(path("")).unwrap();
                names.push(name.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    names
}

#[test]
fn every_file_is_documented_and_packaged() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let guides = ["tor", "stemns", "socks"].map(|name| {
        let guide = root.join(format!("docs/{name}.md"));
        fs::read_to_string(guide).unwrap()
    });
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let files = files();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let is_documented = guides.iter().any(|guide| guide.contains(&file));
        assert!(is_documented, "no guide names {file}");
        let is_python = file.ends_with(".py") && manifest.contains("\"contrib/*.py\"");
        let is_packaged = is_python || manifest.contains(&format!("\"contrib/{file}\""));
        assert!(is_packaged, "Cargo.toml: {file}");
    }
}

//------------ ncprop279.toml ------------------------------------------------

/// A setting of the file.
#[derive(Debug)]
struct Entry {
    key: String,
    /// The line without the hash in front.
    line: String,
    heading: String,
    /// Whether the text above it says that it is an example, and not what the
    /// program does without it.
    is_example: bool,
}

/// The settings of the file, in order. A text is above the setting that it is
/// about, with an empty line between settings.
fn entries() -> Vec<Entry> {
    let mut heading = String::new();
    let mut text = String::new();
    let mut entries = Vec::new();
    for line in read("ncprop279.toml").lines() {
        if let Some(title) = line.strip_prefix("# --- ") {
            heading = title.trim_end_matches(['-', ' ']).to_owned();
        } else if line.is_empty() {
            text.clear();
        } else if let Some(words) = line.strip_prefix("# ") {
            text.push_str(words);
            text.push(' ');
        } else {
            let line = line
                .strip_prefix('#')
                .unwrap_or_else(|| panic!("{line:?} is set"));
            entries.push(Entry {
                key: line.split(" = ").next().unwrap().to_owned(),
                line: line.to_owned(),
                heading: heading.clone(),
                is_example: text.contains("Example"),
            });
        }
    }
    entries
}

/// Options that a setting needs at its side.
fn companions(key: &str) -> &'static [&'static str] {
    match key {
        "electrum-server" | "electrum-operators" | "network" | "checkpoint" | "confirmations"
        | "state-directory" | "verify-all-headers" => {
            &["--backend=electrum", "--proxy=127.0.0.1:1"]
        }
        // A proxy leads to a node elsewhere, which is not connected to before
        // a name is asked for.
        "proxy" => &["--rpc-address=node.example:8336", "--allow-unproxied-node"],
        "rpc-user" => &["--rpc-password=x"],
        "rpc-password" => &["--rpc-user=x"],
        "tor-password" => &["--tor-control=auto"],
        _ => &[],
    }
}

/// The command that heeds a setting; none for the plugin.
fn command(key: &str) -> &'static [&'static str] {
    match key {
        "socks-listen"
        | "allow-remote-clients"
        | "tor-control"
        | "tor-password"
        | "naming-plugin" => &["serve"],
        _ => &[],
    }
}

fn settings(arguments: &[&str]) -> Settings {
    let environment = |name: &str| (name == "HOME").then(|| OsString::from("/home/you"));
    match config::read(arguments.iter().map(OsString::from), &environment) {
        Ok(Outcome::Run(invocation)) => invocation.settings,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn every_setting_is_in_the_file_under_its_heading() {
    let command = command_line();
    let options = command.get_arguments().filter(|option| {
        let name = option.get_id().as_str();
        !["config", "verbose", "help", "version"].contains(&name)
    });
    let expected: Vec<_> = options
        .map(|option| {
            let heading = option.get_help_heading().unwrap_or("Configuration");
            (heading.to_owned(), option.get_long().unwrap().to_owned())
        })
        .collect();
    let entries = entries().into_iter();
    let found: Vec<_> = entries.map(|entry| (entry.heading, entry.key)).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_file_as_it_is_changes_nothing() {
    let file = path("ncprop279.toml");
    let with = settings(&["--config", file.to_str().unwrap()]);
    assert_eq!(with, settings(&[]));
}

/// Each line by itself, as some exclude each other.
#[test]
fn every_line_of_the_file_is_taken_by_the_binary() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ncprop279.toml");
    let file = file.to_str().unwrap();
    let entries = entries();
    assert!(!entries.is_empty());
    for entry in entries {
        let text = read("ncprop279.toml")
            .replace(&format!("#{}\n", entry.line), &format!("{}\n", entry.line))
            // Whoever may create that directory does.
            .replace("/srv/ncprop279", directory.path().to_str().unwrap());
        fs::write(file, &text).unwrap();
        let mut arguments = vec!["--config", file];
        arguments.extend(companions(&entry.key));
        let mut plugin = Start::new(&arguments).spawn();
        assert_eq!(plugin.line(), "INIT 1 0", "{entry:?}{}", plugin.story());
        plugin.finish();
    }
}

/// What the file says is the default is what happens without the line, and an
/// example is something else.
#[test]
fn the_defaults_in_the_file_are_those_of_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ncprop279.toml");
    let file = file.to_str().unwrap();
    let mut defaults = 0;
    for entry in entries() {
        fs::write(file, &entry.line).unwrap();
        let beside = &[companions(&entry.key), command(&entry.key)].concat()[..];
        // The two are set together or not at all.
        let is_half = ["rpc-user", "rpc-password"].contains(&entry.key.as_str());
        let without = if is_half { &[] } else { beside };
        let with = [&["--config", file], beside].concat();
        let is_default = settings(&with) == settings(without);
        assert_eq!(is_default, !entry.is_example, "{entry:?}");
        defaults += usize::from(is_default);
    }
    assert!(defaults >= 15, "{defaults}");
}

//------------ StemNS --------------------------------------------------------

/// Runs a file as StemNS does and gives what an expression about its names,
/// in the dictionary `names`, is then.
fn python(file: &str, expression: &str) -> Value {
    let program = format!(
        "import json, runpy, sys\n\
         names = runpy.run_path(sys.argv[1])\n\
         print(json.dumps({expression}))"
    );
    let output = Command::new("python3")
        .args(["-B", "-c", &program])
        .arg(path(file))
        .output()
        .expect("python3 is needed for this test");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {complaints}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A list of words in Python, in the place of the file's own value.
fn strings(list: &Value) -> Vec<String> {
    let words = list.as_array().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// Starts the binary as a command says; it must be ready.
fn starts(command: &[String]) {
    let (program, options) = command.split_first().unwrap();
    assert_eq!(program, "ncprop279");
    let options: Vec<_> = options
        .iter()
        .map(|option| option.replace("127.0.0.1:9050", NO_PROXY))
        .collect();
    let mut plugin = Start::new(&options)
        .env("TOR_NS_PROTO_VERSION", "1")
        .spawn();
    assert_eq!(plugin.line(), "INIT 1 0", "{command:?}{}", plugin.story());
    plugin.finish();
}

/// Older versions of StemNS take a number, newer ones call a function.
#[test]
fn port_files_give_the_port_to_old_and_new_versions() {
    for (file, port) in [("port_system_tor.py", 9051), ("port_tor_browser.py", 9151)] {
        let found = python(
            file,
            "[isinstance(names['tor_control_port'], int), names['tor_control_port'] + 0, \
             names['tor_control_port']()]",
        );
        assert_eq!(found, serde_json::json!([true, port, port]), "{file}");
    }
}

/// Without it StemNS outlives Tor and is of no use any more.
#[test]
fn the_guide_has_the_exit_file_renamed() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/stemns.md")).unwrap();
    let line = "mv ~/StemNS/config/exit_self.py.example ~/StemNS/config/exit_self.py";
    assert!(guide.lines().any(|one| one.trim() == line));
    assert!(guide.contains("ControlPortWriteToFile /var/lib/tor/controlport"));
}

#[test]
fn the_service_file_starts_the_plugin() {
    for spelling in ["service_to_command", "_service_to_command"] {
        let services = python("services_namecoin.py", &format!("names['{spelling}']"));
        let services = services.as_object().unwrap();
        let suffixes: BTreeSet<_> = services.keys().map(String::as_str).collect();
        assert_eq!(suffixes, BTreeSet::from(["bit", "bit.onion"]));
        for command in services.values() {
            starts(&strings(command));
        }
    }
}

/// The options that the service file names in its text.
#[test]
fn the_options_that_the_service_file_names_start_the_plugin() {
    let directory = tempfile::tempdir().unwrap();
    let settings = directory.path().join("ncprop279.toml");
    fs::copy(path("ncprop279.toml"), &settings).unwrap();
    let text = read("services_namecoin.py");
    let lists: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#   [")?.split(']').next())
        .collect();
    assert_eq!(lists.len(), 2, "{lists:?}");
    for list in lists {
        let options = python(
            "services_namecoin.py",
            &format!("names['_command'] + [{list}]"),
        );
        let mut command = strings(&options);
        for word in &mut command {
            if word == "/home/you/ncprop279.toml" {
                *word = settings.to_str().unwrap().to_owned();
            }
        }
        assert!(command.len() > 1);
        starts(&command);
    }
}

/// The options that keep the state elsewhere count, whatever StemNS says.
#[cfg(unix)]
#[test]
fn the_service_file_can_keep_the_state_elsewhere() {
    let text = read("services_namecoin.py");
    let change = text
        .lines()
        .find_map(|line| line.strip_prefix("# _options += "))
        .unwrap();
    let expression = format!("['ncprop279', '--proxy', '127.0.0.1:9050'] + {change}");
    let mut command = strings(&python("services_namecoin.py", &expression));
    let root = tempfile::tempdir().unwrap();
    let [place, stemns] = ["place", "stemns"].map(|name| root.path().join(name));
    let last = command.last_mut().unwrap();
    assert_eq!(last, "/home/you/.local/state/ncprop279");
    *last = place.to_str().unwrap().to_owned();
    let plugin = Start::new(&command[1..])
        .env("TOR_NS_STATE_LOCATION", stemns.to_str().unwrap())
        .ready();
    // What lookups need is prepared beside it.
    for _ in 0..1000 {
        if place.join("lock").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(place.join("lock").exists(), "{}", plugin.story());
    assert!(!stemns.exists());
    plugin.finish();
}

//------------ systemd -------------------------------------------------------

/// The settings of the section `Service`, in order.
fn service(file: &str) -> Vec<(String, String)> {
    let text = read(file);
    let section = text.split("\n[Service]\n").nth(1).unwrap();
    let section = section.split("\n[").next().unwrap().lines();
    let settings = section.filter_map(|line| line.split_once('='));
    let settings = settings.filter(|(name, _)| !name.starts_with('#'));
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The values of a setting.
fn values<'a>(settings: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let found = settings.iter().filter(|(one, _)| one == name);
    found.map(|(_, value)| value.as_str()).collect()
}

/// The settings with which a service starts the binary.
fn served(service: &[(String, String)]) -> Settings {
    assert_eq!(
        values(service, "ExecStart"),
        ["/usr/bin/env ncprop279 serve $OPTIONS"]
    );
    let options = values(service, "Environment")
        .into_iter()
        .find_map(|value| value.strip_prefix("\"OPTIONS=")?.strip_suffix('"'))
        .unwrap();
    let mut words = vec!["serve"];
    words.extend(options.split(' '));
    let arguments = words.iter().map(OsString::from);
    let state = |name: &str| (name == "TOR_NS_STATE_LOCATION").then(|| OsString::from("/s/n"));
    let Ok(Outcome::Run(invocation)) = config::read(arguments, &state) else {
        panic!("{words:?}");
    };
    let settings = invocation.settings;
    // It may write there and nowhere else.
    assert!(format!("{:?}", settings.source).contains("\"/s/n\""));
    assert_eq!(values(service, "StateDirectory"), ["ncprop279"]);
    assert!(values(service, "Environment").contains(&"TOR_NS_STATE_LOCATION=%S/ncprop279"));
    assert_eq!(values(service, "ProtectSystem"), ["strict"]);
    assert!(service.iter().all(|(name, _)| name != "ReadWritePaths"));
    settings
}

/// What the service starts is taken by the binary, and listens where the guides
/// say.
#[cfg(unix)]
#[test]
fn the_service_of_users_starts_the_socks_port() {
    let service = service("ncprop279.service");
    let serve = served(&service).serve.unwrap();
    assert_eq!(serve.socks[0].to_string(), "127.0.0.1:9250");
    assert_eq!(serve.tor.to_string(), "127.0.0.1:9050");
    assert!(serve.control.is_empty());
    assert_eq!(values(&service, "ProtectHome"), ["read-only"]);
}

/// It has a user of its own, who may use Tor's control port, and opens no port.
#[cfg(unix)]
#[test]
fn the_service_of_the_system_resolves_names_for_tor() {
    let file = "ncprop279-tor.service";
    let service = service(file);
    let serve = served(&service).serve.unwrap();
    assert_eq!((serve.socks.len(), serve.control.len()), (0, 1));
    assert_eq!(serve.control[0].to_string(), "auto");
    assert_eq!(values(&service, "DynamicUser"), ["yes"]);
    assert_eq!(values(&service, "SupplementaryGroups"), ["debian-tor"]);
    // The child that lets go of Tor must outlive a process that is killed.
    assert_eq!(values(&service, "KillMode"), ["control-group"]);
    assert_eq!(values(&service, "ProtectHome"), ["yes"]);
    let text = read(file);
    let after = text.lines().find(|line| line.starts_with("After="));
    assert!(after.unwrap().contains("tor.service"));
}

//------------ AppArmor ------------------------------------------------------

/// `scripts/check-contrib` has it parsed.
#[test]
fn the_profile_permits_what_the_control_port_needs() {
    let profile = read("apparmor/usr.bin.ncprop279");
    for rule in [
        "/{,var/}run/tor/{control,socks} rw,",
        "/{,var/}run/tor/control.authcookie r,",
        // The child that lets go of Tor.
        "/usr/bin/ncprop279 mrix,",
        "owner /var/lib/{,private/}ncprop279/* rwk,",
    ] {
        assert!(profile.lines().any(|line| line.trim() == rule), "{rule}");
    }
    assert!(!profile.contains("deny /** x"));
}
