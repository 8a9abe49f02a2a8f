//! `ncprop279 check`: whether lookups would work, and if not, why; with `serve`,
//! whether its ports would work too. And
//! `ncprop279 checkpoint`, which asks the source for a verified block.

#[cfg(unix)]
mod serve;

use std::process::ExitCode;
#[cfg(unix)]
use std::time::Duration;

use console::Style;
use serde_json::json;

use super::terminal::{self, Terminal, complain, complain_plainly};
use super::{WIDTH, deadline, print, until};
use crate::config::settings::{ProxyAddress, ServeSettings, Settings, SourceSettings};
use crate::log::{Level, Log};
use crate::source::Bounds;
use crate::source::diagnosis::{Finding, Health, Milestone, RESULT, proxy_trouble};
use crate::text::{ascii_json, printable, wrap};

/// Columns before the text of a finding.
const INDENT: usize = 18;

/// How long the test of the ports of `serve` may take.
#[cfg(unix)]
const PORTS_PATIENCE: Duration = Duration::from_secs(10);

/// Runs `ncprop279 check`; gives the exit status. With settings of `serve`, what
/// it needs is examined too.
pub fn check(settings: &Settings, level: Level, json: bool) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    // The plugin's warnings are among the findings.
    let log = match level {
        Level::Warning => Log::silent(),
        _ => terminal.log.clone(),
    };
    let has_color = terminal::has_color();
    // First, as the rest may take its time: with a setting forgotten it is
    // another source than was meant.
    let tried = Finding::ok("source", settings.source.to_string());
    if !json {
        terminal::print(&line(&tried, has_color));
    }
    let (_, source) = super::source(settings, log);
    let findings = terminal.watch(&*source, || {
        // First, and in a time of their own: a source may take all the time that
        // there is.
        #[cfg(unix)]
        let ports = settings.serve.as_ref().map(|serve| {
            let bounds = until(deadline(PORTS_PATIENCE));
            serve::findings(serve, &bounds)
        });
        #[cfg(not(unix))]
        let ports: Option<Vec<Finding>> = None;
        let proxy = proxy_of_delegations(settings);
        let bounds = until(deadline(settings.timeout));
        let delegations = proxy.map(|proxy| delegations(proxy, &bounds));
        let bounds = until(deadline(settings.timeout));
        // The last finding says how names are looked up, or that they cannot be.
        let findings = concluded(source.check(&bounds));
        let others = delegations.into_iter().chain(ports.into_iter().flatten());
        with_others(findings, others.collect())
    });
    if json {
        let all: Vec<_> = std::iter::once(tried).chain(findings.clone()).collect();
        terminal::print(&to_json(&all));
    } else {
        let lines = findings.iter().map(|finding| line(finding, has_color));
        terminal::print(&lines.collect::<String>());
    }
    match works(&findings) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The proxy for delegations, unless the source or the ports of `serve` try it
/// anyway.
fn proxy_of_delegations(settings: &Settings) -> Option<&ProxyAddress> {
    let is_tried = match &settings.source {
        SourceSettings::Rpc(rpc) => rpc.proxy.is_some(),
        SourceSettings::Electrum(electrum) => electrum.proxy.is_some(),
        SourceSettings::NamesFile(_) => false,
    };
    let has_port = |serve: &ServeSettings| !serve.socks.is_empty();
    let proxy = settings.delegations.as_ref()?;
    (!is_tried && !settings.serve.as_ref().is_some_and(has_port)).then_some(proxy)
}

/// Whether name servers could be asked. If not, all other names can still be
/// looked up.
fn delegations(proxy: &ProxyAddress, bounds: &Bounds) -> Finding {
    const LABEL: &str = "delegations";

    match proxy_trouble(proxy, bounds) {
        None => {
            let what = format!("name servers of delegated names are asked through {proxy}");
            Finding::ok(LABEL, what)
        }
        Some(trouble) => {
            let what = format!("delegated names cannot be resolved: {}", trouble.what);
            Finding::warn(LABEL, what, trouble.remedy)
        }
    }
}

/// Adds what was found of the proxy for delegations and of the ports of `serve`
/// before the result, but for what is there already: the source may have tried the
/// same proxy.
fn with_others(mut findings: Vec<Finding>, others: Vec<Finding>) -> Vec<Finding> {
    let mut result = findings.pop_if(|last| last.label == RESULT);
    let failed = others.iter().find(|one| one.health == Health::Fail);
    let works = result
        .as_ref()
        .is_some_and(|one| one.health != Health::Fail);
    if let Some(failed) = failed.filter(|_| works) {
        let what = format!("serve cannot work: {}", failed.what);
        result = Some(Finding::fail(RESULT, what, ""));
    }
    let known = |finding: &Finding| findings.iter().any(|one| one.what == finding.what);
    let more: Vec<_> = others.into_iter().filter(|one| !known(one)).collect();
    findings.extend(more.into_iter().chain(result));
    findings
}

/// If something keeps lookups from working, the first such thing is the result.
/// What to do about it was said there.
fn concluded(mut findings: Vec<Finding>) -> Vec<Finding> {
    let failed = findings.iter().find(|one| one.health == Health::Fail);
    if let Some(failed) = failed {
        let what = format!("names cannot be looked up: {}", failed.what);
        findings.retain(|finding| finding.label != RESULT);
        findings.push(Finding::fail(RESULT, what, ""));
    }
    findings
}

/// Whether lookups would work.
fn works(findings: &[Finding]) -> bool {
    findings.iter().all(|one| one.health != Health::Fail)
}

/// The findings as one JSON object in printable ASCII.
fn to_json(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        json!({
            "label": finding.label,
            "health": word(finding.health).to_ascii_lowercase(),
            "what": finding.what,
            "remedy": finding.remedy,
        })
    };
    let all: Vec<_> = findings.iter().map(one).collect();
    let object = json!({"works": works(findings), "findings": all});
    ascii_json(&object.to_string()) + "\n"
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "FAIL",
    }
}

/// A finding for the terminal: label, `ok`, `warn` or `FAIL`, what was found,
/// and below it what to do.
fn line(finding: &Finding, has_color: bool) -> String {
    let style = Style::new().force_styling(has_color);
    let style = match finding.health {
        Health::Ok => style.green(),
        Health::Warn => style.yellow(),
        Health::Fail => style.red().bold(),
    };
    let health = word(finding.health);
    let space = " ".repeat(6 - health.len());
    let mut text = format!("{:<12}{}{space}", finding.label, style.apply_to(health));
    text.push_str(&wrapped(&printable(&finding.what)));
    if !finding.remedy.is_empty() {
        text.push_str(&" ".repeat(INDENT));
        text.push_str(&wrapped(&format!("-> {}", printable(&finding.remedy))));
    }
    text
}

/// A text in lines that fit behind the indentation.
fn wrapped(text: &str) -> String {
    wrap(text, INDENT, INDENT, WIDTH) + "\n"
}

//------------ The checkpoint ------------------------------------------------

/// Runs `ncprop279 checkpoint`: prints a verified block from which later runs, or
/// the next release, can start their verification. Gives the exit status.
pub fn checkpoint(settings: &Settings, level: Level) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (_, source) = super::source(settings, terminal.log.clone());
    let found = terminal.watch(&*source, || {
        source.milestone(&until(deadline(settings.timeout)))
    });
    match found {
        Ok(milestone) => {
            for note in notes(&milestone) {
                complain_plainly(&format!("note: {note}"));
            }
            print(&two_lines(&milestone))
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Two lines: the block as `--checkpoint` takes it, and the work of the chain
/// up to it in hexadecimal.
fn two_lines(milestone: &Milestone) -> String {
    let Milestone {
        checkpoint,
        work,
        work_since,
        ..
    } = milestone;
    let work = format!("{work:x}");
    let work = work.trim_start_matches('0');
    match work_since {
        None => format!("{checkpoint}\nwork {work}\n"),
        Some(height) => format!("{checkpoint}\nwork {work} since block {height}\n"),
    }
}

/// What the user should know before relying on the block.
fn notes(milestone: &Milestone) -> Vec<String> {
    let alone = match milestone.operators.as_slice() {
        [only] => Some(format!(
            "only {only} answered: its chain was compared with no other"
        )),
        _ => None,
    };
    let sampled = milestone.is_sampled.then(|| {
        "these block headers were verified by a random sample of their proofs of work; \
         --verify-all-headers verifies all of them"
            .to_owned()
    });
    let discovered = milestone.has_discovered.then(|| {
        "one of the two operators is a discovered server, which the other might run".to_owned()
    });
    let notes = alone.into_iter().chain(discovered).chain(sampled);
    notes.collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::Work;

    use super::*;
    use crate::chain::network::Network;

    #[test]
    fn work_is_hexadecimal_and_says_where_it_begins() {
        let mut milestone = Milestone {
            checkpoint: Network::Mainnet.checkpoint(),
            work: Work::from_unprefixed_hex("a88f4530bb8eaceaffde5c50").unwrap(),
            work_since: None,
            is_sampled: false,
            operators: vec!["one".into(), "two".into()],
            has_discovered: false,
        };
        let checkpoint = milestone.checkpoint;
        assert_eq!(
            two_lines(&milestone),
            format!("{checkpoint}\nwork a88f4530bb8eaceaffde5c50\n")
        );
        milestone.work_since = Some(12);
        let end = "\nwork a88f4530bb8eaceaffde5c50 since block 12\n";
        assert!(two_lines(&milestone).ends_with(end));
        assert_eq!(notes(&milestone), [""; 0]);
        milestone.has_discovered = true;
        assert!(notes(&milestone)[0].contains("a discovered server"));
        milestone.has_discovered = false;
        milestone.is_sampled = true;
        milestone.operators.pop();
        assert_eq!(notes(&milestone).len(), 2);
    }
}
