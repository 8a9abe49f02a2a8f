//! Name operations: their scripts, the transactions that carry them, and the
//! hash under which a server indexes a name.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use data_encoding::HEXLOWER;

/// The transaction version that marks name operations.
const NAME_VERSION: i32 = 0x7100;

/// What a name operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    FirstUpdate,
    Update,
}

/// Appends the push of `data` to a script, in the form that the index uses.
pub fn push(script: &mut Vec<u8>, data: &[u8]) {
    match data.len() {
        length @ 0..=75 => script.push(u8::try_from(length).unwrap()),
        length @ 76..=255 => script.extend([0x4c, u8::try_from(length).unwrap()]),
        length => {
            script.push(0x4d);
            script.extend(u16::try_from(length).unwrap().to_le_bytes());
        }
    }
    script.extend(data);
}

/// The script under which the servers index the operations of a name.
pub fn index_script(name: &[u8]) -> Vec<u8> {
    let mut script = vec![0x53];
    push(&mut script, name);
    script.extend([0x00, 0x6d, 0x75, 0x6a]);
    script
}

/// The script hash of a name, as it stands in requests.
pub fn script_hash(name: impl AsRef<[u8]>) -> String {
    let hash = sha256::Hash::hash(&index_script(name.as_ref()));
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    HEXLOWER.encode(&bytes)
}

/// The name that an output script registers or updates, if it does.
pub fn name_of(script: &[u8]) -> Option<&[u8]> {
    let (code, rest) = script.split_first()?;
    let (length, start) = match *rest.first()? {
        length @ 0..=75 => (usize::from(length), 1),
        0x4c => (usize::from(*rest.get(1)?), 2),
        _ => return None,
    };
    matches!(code, 0x52 | 0x53)
        .then(|| rest.get(start..start + length))
        .flatten()
}

fn output_script(operation: Operation, name: &[u8], value: &[u8], owner: u8) -> ScriptBuf {
    let mut script = Vec::new();
    match operation {
        Operation::FirstUpdate => {
            script.push(0x52);
            push(&mut script, name);
            push(&mut script, &[owner; 20]);
            push(&mut script, value);
            script.extend([0x6d, 0x6d]);
        }
        Operation::Update => {
            script.push(0x53);
            push(&mut script, name);
            push(&mut script, value);
            script.extend([0x6d, 0x75]);
        }
    }
    script.extend(payment_script(owner).as_bytes());
    ScriptBuf::from_bytes(script)
}

/// An ordinary pay-to-public-key-hash script.
fn payment_script(owner: u8) -> ScriptBuf {
    let mut script = vec![0x76, 0xa9, 20];
    script.extend([owner; 20]);
    script.extend([0x88, 0xac]);
    ScriptBuf::from_bytes(script)
}

/// An input that spends an output nobody looks at; `salt` makes it unique.
fn input(salt: u32, script: ScriptBuf) -> TxIn {
    TxIn {
        previous_output: OutPoint::new(
            Txid::from_raw_hash(Hash::hash(&salt.to_le_bytes())),
            salt % 2,
        ),
        script_sig: script,
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::new(),
    }
}

/// A transaction that carries one name operation and one ordinary output,
/// which of them first depends on the salt; every odd salt makes it
/// witness-serialised.
pub fn operation(operation: Operation, name: &[u8], value: &[u8], salt: u32) -> Transaction {
    let owner = salt.to_le_bytes()[0];
    let mut output = vec![
        TxOut {
            value: Amount::from_sat(1_000_000),
            script_pubkey: output_script(operation, name, value, owner),
        },
        TxOut {
            value: Amount::from_sat(4_998_825_280),
            script_pubkey: payment_script(owner),
        },
    ];
    if salt & 2 != 0 {
        output.reverse();
    }
    let mut input = vec![input(salt, ScriptBuf::new())];
    if salt & 1 != 0 {
        input[0].witness.push([7; 71]);
        input[0].witness.push([2; 33]);
    }
    Transaction {
        version: Version(NAME_VERSION),
        lock_time: LockTime::ZERO,
        input,
        output,
    }
}

/// A payment that has nothing to do with names.
pub fn payment(salt: u32) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input(!salt, ScriptBuf::from_bytes(vec![0x51]))],
        output: vec![TxOut {
            value: Amount::from_sat(u64::from(salt)),
            script_pubkey: payment_script(salt.to_le_bytes()[0]),
        }],
    }
}

/// The first transaction of a block.
pub fn coinbase(height: usize, salt: u32) -> Transaction {
    let mut script = Vec::new();
    push(&mut script, &u32::try_from(height).unwrap().to_le_bytes());
    push(&mut script, &salt.to_le_bytes());
    Transaction {
        version: Version::ONE,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes(script),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_int_btc(50),
            script_pubkey: payment_script(1),
        }],
    }
}
