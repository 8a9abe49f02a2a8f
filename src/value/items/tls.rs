//! `tls`: TLSA records from their fields (IFA-0001) or from a dehydrated
//! certificate (IFA-0003).

use der::asn1::BitString;
use der::{Any, Encode};
use hickory_proto::rr::RData;
use p256::PublicKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};

use super::certificate::{self, DehydratedCertificate};
use super::records::{ItemReader, tlsa};
use crate::value::error::shorten;
use crate::value::tree::{Members, Tree};

/// Length of a compressed point of P-256 in bytes (SEC 1 section 2.3.3).
const COMPRESSED_POINT: usize = 33;

/// Steps that an element takes, and those for a compressed key in it.
const ELEMENT_STEPS: usize = 8;
const POINT_STEPS: usize = 400;

/// Steps that rebuilding a certificate takes.
const CERTIFICATE_STEPS: usize = 400;

/// How many certificates one item may hold. Rebuilt, each is several times as
/// long as in the value, and all of them have to fit into one message.
const MAX_CERTIFICATES: usize = 16;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Reads the item: an array of elements. Each is an array of fields, or an
/// object whose keys name the encoding.
pub fn tls(reader: &mut ItemReader<'_, '_>, tree: &Tree, into: &mut Vec<RData>) {
    reader.begin("tls");
    let elements = match tree {
        Tree::Array(elements) => elements.as_slice(),
        // IFA-0003 can also be read such that the whole item is an object.
        Tree::Object(_) => std::slice::from_ref(tree),
        other => {
            reader.error::<()>(format!(
                "neither an array nor an object but {}",
                other.kind()
            ));
            return;
        }
    };
    let mut certificates = 0;
    for element in elements {
        if !reader.take(ELEMENT_STEPS) {
            return;
        }
        match element {
            Tree::Array(fields) => into.extend(dane(reader, fields).into_iter().flatten()),
            Tree::Object(encodings) => {
                let records = encoded(reader, encodings, &mut certificates);
                into.extend(records.into_iter().flatten());
            }
            other => {
                reader.error::<()>(format!(
                    "an element is an array or an object, not {}",
                    other.kind()
                ));
            }
        }
    }
}

/// One element that is an object. All its encodings mean the same, so one is
/// enough: `dane`, which needs no rebuilding, is preferred to `d8`.
fn encoded(
    reader: &mut ItemReader<'_, '_>,
    encodings: &Members,
    certificates: &mut usize,
) -> Option<Vec<RData>> {
    let get = |key: &str| encodings.get(key).filter(|tree| !tree.is_null());
    if let Some(tree) = get("dane") {
        let records = match &**tree {
            // A list of records, or below, a single one.
            Tree::Array(fields) if fields.iter().any(|f| matches!(f, Tree::Array(_))) => {
                let mut records = Vec::new();
                for field in fields {
                    reader.take(ELEMENT_STEPS);
                    match field {
                        Tree::Array(fields) => records.extend(dane(reader, fields)),
                        other => {
                            reader
                                .error::<()>(format!("a record is an array, not {}", other.kind()));
                        }
                    }
                }
                (!records.is_empty()).then(|| records.concat())
            }
            Tree::Array(fields) => dane(reader, fields),
            other => reader.error(format!("\"dane\" is an array, not {}", other.kind())),
        };
        if records.is_some() {
            return records;
        }
    }
    match get("d8").map(|tree| &**tree) {
        Some(Tree::Array(fields)) => {
            *certificates += 1;
            if *certificates > MAX_CERTIFICATES {
                return reader.error(format!("more than {MAX_CERTIFICATES} certificates"));
            }
            if !reader.take(CERTIFICATE_STEPS) {
                return None;
            }
            dehydrated(reader, fields).map(|data| vec![data])
        }
        Some(other) => reader.error(format!("\"d8\" is an array, not {}", other.kind())),
        None if get("dane").is_some() => None,
        None => reader.error("no known encoding"),
    }
}

/// Certificate usage, selector, matching type, data (RFC 6698 section 2.1).
fn dane(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<Vec<RData>> {
    let usage = reader.integer(fields.first(), "the certificate usage")?;
    let selector = reader.integer(fields.get(1), "the selector")?;
    let matching = reader.integer(fields.get(2), "the matching type")?;
    let data = reader.base64(fields.get(3), "the association data")?;
    if selector != 1 || matching != 0 || data.len() != COMPRESSED_POINT {
        return Some(vec![tlsa(reader, [usage, selector, matching], &data)?]);
    }
    // No certificate holds a compressed key in this bare form. As in ncdns, it
    // stands for two records, one for each form that a certificate may have.
    // The first byte is the parity of y, 2 or 3; the library also accepts 5,
    // which no certificate has.
    let parity = matches!(data.first(), Some(2 | 3));
    let Some(key) = (parity && reader.take(POINT_STEPS))
        .then(|| PublicKey::from_sec1_bytes(&data).ok())
        .flatten()
    else {
        return reader.error("the association data is no compressed P-256 key");
    };
    let mut records = Vec::new();
    for compress in [true, false] {
        let Some(info) = key_info(key.to_sec1_point(compress).as_bytes()) else {
            return reader.error("the public key cannot be written in DER");
        };
        records.push(tlsa(reader, [usage, selector, matching], &info)?);
    }
    Some(records)
}

/// The SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2).
fn key_info(point: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: EC_PUBLIC_KEY,
            parameters: Some(Any::from(PRIME256V1)),
        },
        subject_public_key: BitString::from_bytes(point).ok()?,
    };
    info.to_der().ok()
}

/// Version, public key, start and end of the validity in units of five minutes,
/// signature algorithm, signature (IFA-0003).
fn dehydrated(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let version: u64 = reader.integer(fields.first(), "the version")?;
    if version != 1 {
        return reader.error(format!("version {version} of \"d8\" is unknown"));
    }
    let key = reader.base64(fields.get(1), "the public key")?;
    let not_before = reader.integer(fields.get(2), "the begin of the validity")?;
    let not_after = reader.integer(fields.get(3), "the end of the validity")?;
    let algorithm = reader.integer(fields.get(4), "the signature algorithm")?;
    let signature = reader.base64(fields.get(5), "the signature")?;
    let dehydrated = DehydratedCertificate {
        key: &key,
        not_before,
        not_after,
        algorithm,
        signature: &signature,
    };
    let domain = certificate::domain(reader.place.owner());
    match dehydrated.rebuild(&domain) {
        // Usage 3, selector 0, matching type 0: exactly this certificate.
        Ok(certificate) => tlsa(reader, [3, 0, 0], &certificate),
        Err(error) => reader.error(format!("for {}: {error}", shorten(&domain))),
    }
}
