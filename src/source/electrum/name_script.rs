//! The scripts that carry names: the one by which servers index a name, and the
//! outputs of operations on names.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::opcodes::all::{OP_2DROP, OP_DROP, OP_PUSHNUM_2, OP_PUSHNUM_3};
use bitcoin::script::{Instruction, Instructions, Script};
use bitcoin::{Opcode, ScriptBuf};
use data_encoding::HEXLOWER;

// Namecoin gives the opcodes that push 2 and 3 another meaning at the
// beginning of an output.
const OP_NAME_FIRSTUPDATE: Opcode = OP_PUSHNUM_2;
const OP_NAME_UPDATE: Opcode = OP_PUSHNUM_3;

/// The hash by which servers index a name: SHA-256 of [`index_script`], its
/// bytes reversed, as 64 digits of lower-case hexadecimal.
///
/// It tells the name to everybody who can guess names, so it belongs into a
/// request and nowhere else.
pub(super) fn script_hash(name: &[u8]) -> String {
    let mut hash = sha256::Hash::hash(index_script(name).as_bytes()).to_byte_array();
    hash.reverse();
    HEXLOWER.encode(&hash)
}

/// The output under which servers index a name: a NAME_UPDATE to the empty
/// value that nobody can spend. A name has at most 255 bytes.
fn index_script(name: &[u8]) -> ScriptBuf {
    let mut script = vec![OP_NAME_UPDATE.to_u8()];
    push(&mut script, name);
    push(&mut script, b"");
    script.extend([OP_2DROP.to_u8(), OP_DROP.to_u8(), 0x6a]);
    ScriptBuf::from_bytes(script)
}

/// Appends a push of at most 65,535 bytes in its shortest form, except that
/// single bytes are never replaced by an opcode for small numbers.
fn push(script: &mut Vec<u8>, bytes: &[u8]) {
    let [low, high, ..] = bytes.len().to_le_bytes();
    match bytes.len() {
        0..=75 => script.push(low),
        76..=255 => script.extend([0x4c, low]),
        _ => script.extend([0x4d, low, high]),
    }
    script.extend(bytes);
}

/// What an operation on a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameOutput<'a> {
    /// The name's key, which need not be text.
    pub name: &'a [u8],
    /// The value that the name has from then on.
    pub value: &'a [u8],
}

/// Reads an output that registers a name (NAME_FIRSTUPDATE) or gives it a new
/// value (NAME_UPDATE). Any other output is `None`: NAME_NEW too, which only
/// commits to a name without telling it.
///
/// The operators that clear the stack must be the usual ones, because servers
/// index nothing else. Pushes may have any form, as in Namecoin Core. Lengths
/// are for the chain to judge (a value has at most 1,023 bytes by consensus);
/// a script is no longer than the transaction that it came in.
pub(super) fn name_output(script: &Script) -> Option<NameOutput<'_>> {
    let mut rest = script.instructions();
    let operation = next_opcode(&mut rest)?;
    let name = next_push(&mut rest)?;
    let (value, clears) = match operation {
        OP_NAME_FIRSTUPDATE => {
            let _salt = next_push(&mut rest)?;
            (next_push(&mut rest)?, [OP_2DROP, OP_2DROP])
        }
        OP_NAME_UPDATE => (next_push(&mut rest)?, [OP_2DROP, OP_DROP]),
        _ => return None,
    };
    for clear in clears {
        if next_opcode(&mut rest)? != clear {
            return None;
        }
    }
    Some(NameOutput { name, value })
}

fn next_opcode(rest: &mut Instructions<'_>) -> Option<Opcode> {
    match rest.next()?.ok()? {
        Instruction::Op(opcode) => Some(opcode),
        Instruction::PushBytes(_) => None,
    }
}

fn next_push<'a>(rest: &mut Instructions<'a>) -> Option<&'a [u8]> {
    match rest.next()?.ok()? {
        Instruction::PushBytes(bytes) => Some(bytes.as_bytes()),
        Instruction::Op(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::source::electrum::testing;

    /// The beginning of a pay-to-public-key-hash output.
    const REST: &[u8] = &[0x76, 0xa9, 0x14];

    /// An output that gives a name a value.
    pub fn update(name: &[u8], value: &[u8]) -> ScriptBuf {
        build(0x53, &[name, value], &[0x6d, 0x75])
    }

    /// An output that registers a name.
    pub fn first_update(name: &[u8], value: &[u8]) -> ScriptBuf {
        build(0x52, &[name, &[7; 20], value], &[0x6d, 0x6d])
    }

    /// An output that commits to a name.
    pub fn name_new() -> ScriptBuf {
        build(0x51, &[&[7; 20]], &[0x6d])
    }

    fn build(operation: u8, pushes: &[&[u8]], clears: &[u8]) -> ScriptBuf {
        let mut script = vec![operation];
        for bytes in pushes {
            push(&mut script, bytes);
        }
        script.extend(clears);
        script.extend(REST);
        ScriptBuf::from_bytes(script)
    }

    #[test]
    fn recorded_names_have_the_recorded_hashes() {
        let chain = testing::chain();
        assert_eq!(chain.names.len(), 14);
        for name in chain.names {
            let script = index_script(&testing::bytes(&name.name));
            assert_eq!(HEXLOWER.encode(script.as_bytes()), name.script);
            assert_eq!(script_hash(&testing::bytes(&name.name)), name.scripthash);
        }
    }

    #[test]
    fn pushes_have_the_shortest_form_for_their_length() {
        for (length, head) in [
            (0, &[0][..]),
            (1, &[1]),
            (75, &[75]),
            (76, &[0x4c, 76]),
            (255, &[0x4c, 255]),
            (256, &[0x4d, 0, 1]),
            (65_535, &[0x4d, 255, 255]),
        ] {
            let mut script = Vec::new();
            push(&mut script, &vec![1; length]);
            assert_eq!(script, [head, &vec![1; length]].concat(), "{length}");
        }
        let script = index_script(&[b'n'; 255]);
        assert_eq!(script.as_bytes()[..3], [0x53, 0x4c, 255]);
        assert_eq!(script.as_bytes()[258..], [0, 0x6d, 0x75, 0x6a]);
    }

    #[test]
    fn operations_are_read_whatever_form_their_pushes_have() {
        let named = Some(NameOutput {
            name: b"d/a",
            value: b"v",
        });
        let whole = |bytes: &[u8]| [bytes, REST].concat();
        for script in [
            update(b"d/a", b"v").into_bytes(),
            first_update(b"d/a", b"v").into_bytes(),
            whole(b"\x53\x4c\x03d/a\x4d\x01\x00v\x6d\x75"),
            whole(b"\x53\x4e\x03\x00\x00\x00d/a\x01v\x6d\x75"),
            whole(b"\x52\x03d/a\x00\x01v\x6d\x6d"),
            b"\x53\x03d/a\x01v\x6d\x75".to_vec(),
        ] {
            let script = ScriptBuf::from_bytes(script);
            assert_eq!(name_output(&script), named, "{script:?}");
        }
    }

    #[test]
    fn everything_else_carries_no_name() {
        for script in [
            &b""[..],
            b"\x53",
            b"\x53\x03d/a",
            b"\x53\x03d/a\x01v",
            b"\x53\x03d/a\x01v\x6d",
            b"\x53\x03d/a\x01v\x6d\x6d",
            b"\x53\x03d/a\x01v\x75\x6d",
            b"\x53\x03d/a\x51\x6d\x75",
            b"\x53\x03d/a\x4f\x6d\x75",
            b"\x53\x03d/a\x05v\x6d\x75",
            b"\x53\x4e\xff\xff\xff\xffd/a\x01v\x6d\x75",
            b"\x52\x03d/a\x01v\x6d\x6d",
            b"\x52\x03d/a\x00\x01v\x6d\x75",
            b"\x54\x03d/a\x01v\x6d\x75",
            b"\x03d/a\x01v\x6d\x75",
            b"\x76\xa9\x14",
        ] {
            assert_eq!(name_output(Script::from_bytes(script)), None, "{script:x?}");
        }
        assert_eq!(name_output(&name_new()), None);
    }

    #[test]
    fn random_operations_are_read_back_and_random_scripts_do_no_harm() {
        let mut rng = StdRng::seed_from_u64(5);
        let mut bytes = |longest: usize| {
            let length = rng.random_range(0..=longest);
            (0..length).map(|_| rng.random()).collect::<Vec<u8>>()
        };
        for _ in 0..2_000 {
            let (name, value) = (bytes(255), bytes(1_023));
            let said = Some(NameOutput {
                name: &name,
                value: &value,
            });
            assert_eq!(name_output(&update(&name, &value)), said);
            assert_eq!(name_output(&first_update(&name, &value)), said);

            let mut noise = bytes(40);
            name_output(Script::from_bytes(&noise));
            if let Some(first) = noise.first_mut() {
                *first = 0x52 | (*first & 1);
            }
            name_output(Script::from_bytes(&noise));
        }
    }
}
