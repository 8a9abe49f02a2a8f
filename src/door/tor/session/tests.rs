//! Lists and settings, and what Tor says of them meanwhile.

use super::*;

#[test]
fn a_name_cannot_hold_a_mapping() {
    let read = |items: &[&str]| {
        let mut lines = vec![b"250+address-mappings/control=".to_vec()];
        lines.extend(items.iter().map(|item| item.as_bytes().to_vec()));
        lines.extend([b".".to_vec(), b"250 OK".to_vec()]);
        mappings(&lines)
    };
    let address: IpAddr = [127, 200, 92, 149].into();
    let true_one = "127.200.92.149 onion.bit NEVER";
    let expected = Some(vec![(address, "onion.bit".to_owned())]);
    assert_eq!(read(&[true_one]), expected);
    // What Tor 0.4.9.11 makes of `x CR LF 127.200.92.149 evil.bit NEVER CR LF
    // y.bit`, and of a name that ends with the address.
    let poison = [
        "127.215.236.81 x",
        "127.200.92.149 evil.bit never",
        "y.bit NEVER",
    ];
    let shorter = ["127.215.236.81 x", "127.200.92.149 evil.bit NEVER"];
    for poison in [&poison[..], &shorter] {
        assert_eq!(read(&[poison, &[true_one]].concat()), expected);
        assert_eq!(read(&[&[true_one], poison].concat()), expected);
    }
    assert_eq!(mappings(&[b"250 OK".to_vec()]), None);
}

/// The option is set, and is off again before that was answered.
#[test]
fn the_option_is_set_again_if_it_was_off_meanwhile() {
    let naming = Naming::new(Vec::new(), ANSWER, false, &crate::log::Log::silent());
    let now = Instant::now();
    let mut session = Session::new(Arc::new(naming), now);
    let option = "SETCONF __LeaveStreamsUnattached=1";
    let sent = |session: &mut Session| -> Vec<String> {
        let sent = String::from_utf8(session.take_output(now)).unwrap();
        sent.lines().map(str::to_owned).collect()
    };
    let begin = sent(&mut session);
    assert_eq!(begin.iter().filter(|line| *line == option).count(), 1);
    let mut says = |line: &str| session.line(line.as_bytes(), now);
    for command in &begin {
        match command.strip_prefix("GETINFO ") {
            Some(mark) => says(&format!("552 Unrecognized key \"{mark}\"")),
            None => says("250 OK"),
        }
        if command == option {
            says("650-CONF_CHANGED");
            says("650-__LeaveStreamsUnattached=0");
            says("650 OK");
        }
    }
    assert!(sent(&mut session).iter().any(|line| line == option));
}
