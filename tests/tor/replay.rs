//! The clients of the recordings do again what they did, with the door in the place
//! of the recorded controller.

use super::{Door, EVIL};
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::recording::{ALL, Recording, Step};
use crate::support::tor_control::stream::{End, is_ours};

#[test]
fn every_recorded_stream_has_its_end() {
    let mut count = 0;
    for name in ALL {
        let recording = Recording::read(name);
        let tor = ModelTor::start();
        if name == "transport" {
            tor.automap(".bit");
        }
        let _door = Door::start(&tor);
        let handles = recording.replay(&tor);
        let opened = recording.steps.iter().filter_map(|step| match step {
            Step::Opens(_, stream) => Some(stream),
            _ => None,
        });
        for (handle, stream) in handles.iter().zip(opened) {
            count += 1;
            let end = handle.end();
            let host = String::from_utf8_lossy(stream.host());
            match end {
                // Tor was reloaded a moment before.
                End::Alone(_) => assert_eq!(name, "leave-set-by-controller"),
                End::Attached(target) => {
                    assert!(!is_ours(target.as_bytes()), "{name}, {host}: {target}");
                }
                End::Answered(_) | End::Closed(..) | End::Left => {}
                End::Gone => panic!("{name}, {host}: {}", tor.story()),
            }
        }
        let commands = tor.commands();
        assert!(
            !commands.iter().any(|one| one.contains(EVIL)),
            "{commands:#?}"
        );
    }
    assert!(count > 150, "{count}");
}

/// The victim of the recording is not harmed.
#[test]
fn recorded_forgeries_harm_nobody() {
    let recording = Recording::read("forged-events");
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let handles = recording.replay(&tor);
    let [victim, attackers @ ..] = &handles[..] else {
        panic!()
    };
    assert_eq!(victim.end(), End::Attached("192.0.2.2:80".to_owned()));
    assert_eq!(tor.done_to(victim.id), ["REDIRECT 192.0.2.2", "ATTACH 0"]);
    for attacker in attackers {
        assert!(matches!(attacker.end(), End::Closed(..)));
    }
}
