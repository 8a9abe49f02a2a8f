//! Settings: command line, environment and file, new and old.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ncprop279::config::settings::{
    ControlAddress, Credentials, PluginCommand, ServeSettings, Settings, SourceSettings,
};
use ncprop279::config::{self, Command, Outcome};

/// The password that no message may contain; inputs that contain it are skipped.
const PASSWORD: &str = "Hunter2";

/// Stands in an input for the path of the file.
const PATH: &str = "@";

/// The file that inputs are written to, one for each process.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    folder.join(format!("ncprop279-fuzz-{}.toml", std::process::id()))
});

/// Any bytes as settings: arguments, each ended by LF, up to the first pair of
/// 0xFF; behind it the environment variable with settings, up to the next pair;
/// behind that the file. The first byte says where a password is added.
///
/// Whatever is wrong is reported in one line without the password, and what is right
/// keeps the bounds that it must keep: no node elsewhere without a proxy, for one.
pub fn config(data: &[u8]) {
    let Some((place, data)) = data.split_first() else {
        return;
    };
    let (arguments, data) = super::divide(data);
    let (options, file) = super::divide(data);
    let (Ok(arguments), Ok(options)) = (
        std::str::from_utf8(arguments),
        String::from_utf8(options.to_vec()),
    ) else {
        return;
    };
    let mut input = Input {
        arguments: arguments.lines().map(str::to_owned).collect(),
        options,
        file: file.to_vec(),
    };
    if input.is_passed_over() {
        return;
    }
    input.add_password(*place);
    input.check();
}

struct Input {
    arguments: Vec<String>,
    options: String,
    file: Vec<u8>,
}

impl Input {
    /// Whether a message could hold the password from elsewhere, or a device
    /// be read as a file.
    fn is_passed_over(&self) -> bool {
        let file = String::from_utf8_lossy(&self.file);
        let mut texts = self.arguments.iter().map(String::as_str);
        let is_bad = |text: &str| {
            let lower = text.to_ascii_lowercase();
            lower.contains("hunter") || text.contains("/dev") || text.contains("/proc")
        };
        texts.any(is_bad) || is_bad(&self.options) || is_bad(&file)
    }

    fn add_password(&mut self, place: u8) {
        match place % 4 {
            0 => self
                .arguments
                .insert(0, format!("--rpc-password={PASSWORD}")),
            1 => self
                .options
                .insert_str(0, &format!("rpc-password={PASSWORD};")),
            2 => {
                let line = format!("rpc-password = \"{PASSWORD}\"\n");
                self.file.splice(0..0, line.into_bytes());
            }
            _ => {
                let option = format!("-ncprop279.namecoinrpcpassword={PASSWORD}");
                self.arguments.insert(0, option);
            }
        }
    }

    fn check(&self) {
        std::fs::write(&*FILE, &self.file).expect("a file can be written");
        let path = FILE.to_str().expect("a path in UTF-8");
        let arguments = self
            .arguments
            .iter()
            .map(|argument| match argument.as_str() {
                PATH => path.into(),
                other => other
                    .strip_suffix("=@")
                    .map_or_else(|| other.into(), |name| format!("{name}={path}").into()),
            });
        let environment = |name: &str| match name {
            "TOR_NS_PLUGIN_OPTIONS" => Some(OsString::from(&self.options)),
            "HOME" => Some("/nowhere".into()),
            _ => None,
        };
        let read = config::read(arguments, &environment);
        // Nothing stays behind, however the process ends.
        let _ = std::fs::remove_file(&*FILE);
        match read {
            Ok(Outcome::Print(text)) => assert!(!text.contains(PASSWORD)),
            Ok(Outcome::Run(run)) => {
                run.warnings.iter().for_each(|text| check_text(text));
                if let Command::Config(text) = &run.command {
                    assert!(!text.contains(PASSWORD), "{text}");
                }
                check_text(&run.settings.source.to_string());
                self.check_settings(&run.settings);
            }
            Err(error) => check_text(&error.message),
        }
    }

    fn check_settings(&self, settings: &Settings) {
        assert!((1..=128).contains(&settings.lookups));
        assert!((1..=86_400).contains(&settings.timeout.as_secs().max(1)));
        if let Some(serve) = &settings.serve {
            check_doors(serve);
        }
        // A question to a name server never leaves in the clear.
        let has_proxy = settings.serve.is_some() || self.says("proxy");
        assert!(has_proxy || settings.delegations.is_none());
        match &settings.source {
            SourceSettings::Rpc(rpc) => {
                if let Credentials::Password { user, .. } = &rpc.credentials {
                    assert!(!user.contains(':'), "a user name that ends early");
                }
                let is_exposed = !rpc.address.is_loopback() && rpc.proxy.is_none();
                assert!(
                    !is_exposed || self.says("allow-unproxied-node"),
                    "{}",
                    rpc.address
                );
            }
            SourceSettings::Electrum(electrum) => {
                assert!(electrum.confirmations >= 1);
                let servers = &electrum.servers;
                let is_exposed = servers.iter().any(|server| !server.address.is_loopback())
                    && electrum.proxy.is_none();
                assert!(!is_exposed || self.says("allow-unproxied-node"));
            }
            SourceSettings::NamesFile(_) => {}
        }
    }

    /// Whether a setting's name occurs anywhere in the input. In
    /// the variable and the file it may be written with escapes.
    fn says(&self, name: &str) -> bool {
        self.arguments
            .iter()
            .any(|argument| argument.contains(name))
            || self.options.replace('\\', "").contains(name)
            || self.file.contains(&b'\\')
            || String::from_utf8_lossy(&self.file).contains(name)
    }
}

/// A control port is on this machine, and no plugin gets the names of Tor.
fn check_doors(serve: &ServeSettings) {
    assert!(!serve.socks.is_empty() || !serve.control.is_empty());
    for control in &serve.control {
        match control {
            ControlAddress::Auto => {}
            ControlAddress::At(address) => assert!(address.is_loopback(), "{address}"),
        }
    }
    let mut suffixes: Vec<&str> = Vec::new();
    for PluginCommand { suffix, command } in &serve.plugins {
        assert!(!["", "onion", "exit"].contains(&suffix.as_str()));
        assert!(!suffix.starts_with('.') && *suffix == suffix.to_ascii_lowercase());
        assert!(!command.is_empty() && !suffixes.contains(&suffix.as_str()));
        suffixes.push(suffix);
    }
    assert!(!format!("{serve:?}").contains(PASSWORD));
}

fn check_text(text: &str) {
    assert!(!text.contains('\n'), "{text:?}");
    assert!(!text.contains(PASSWORD), "{text}");
}
