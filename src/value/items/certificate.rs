//! Certificates rebuilt from their dehydrated form (IFA-0003).
//!
//! The signature in a value covers a certificate exactly as Go's `crypto/x509`
//! encodes it. Where DER leaves a choice (string types, order of extensions),
//! the encoding here follows that library.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use der::asn1::{
    BitString, Ia5String, OctetString, PrintableString, SetOfVec, UintRef, Utf8StringRef,
};
use der::flagset::FlagSet;
use der::{Any, DateTime, Decode, Encode, Sequence};
use hickory_proto::rr::Name;
use std::time::Duration;
use thiserror::Error;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
};
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};
use x509_cert::time::Time;

/// Seconds in a unit of the validity period.
const UNIT: u64 = 300;

/// Length of the serial number in bytes.
const SERIAL_LENGTH: usize = 19;

/// The serial number attribute in the subject of every such certificate.
const SUBJECT_SERIAL: &str = "Namecoin TLS Certificate";

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SERIAL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const EXTENDED_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// A dehydrated certificate.
#[derive(Debug, Clone, Copy)]
pub struct DehydratedCertificate<'a> {
    /// The SubjectPublicKeyInfo in DER.
    pub key: &'a [u8],
    /// Start of the validity in units of 300 seconds since 1970.
    pub not_before: u64,
    /// End of the validity in the same unit.
    pub not_after: u64,
    /// The number of the signature algorithm in Go's `x509` package.
    pub algorithm: u64,
    /// The signature's bytes.
    pub signature: &'a [u8],
}

/// Why a certificate cannot be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The number of the signature algorithm is unknown.
    #[error("the signature algorithm {0} is unknown")]
    Algorithm(u64),
    /// The public key is no SubjectPublicKeyInfo.
    #[error("the public key is not in DER")]
    Key,
    /// A time is after the year 9999.
    #[error("the validity is beyond the year 9999")]
    Validity,
    /// A part cannot be written in DER.
    #[error("the certificate cannot be written in DER")]
    Encoding,
}

impl From<der::Error> for CertificateError {
    fn from(_: der::Error) -> Self {
        Self::Encoding
    }
}

/// The signed part (RFC 5280 section 4.1.1.1).
#[derive(Sequence)]
struct Body<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial: UintRef<'a>,
    algorithm: AlgorithmIdentifierOwned,
    issuer: Subject,
    validity: Validity,
    subject: Subject,
    key: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Sequence)]
struct Validity {
    not_before: Time,
    not_after: Time,
}

#[derive(Sequence)]
struct Signed<'a> {
    body: Body<'a>,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

/// A distinguished name with one attribute in each part.
type Subject = Vec<SetOfVec<AttributeTypeAndValue>>;

impl DehydratedCertificate<'_> {
    /// The certificate in DER for a domain name without a final dot.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn rebuild(&self, domain: &str) -> Result<Vec<u8>, CertificateError> {
        let algorithm = algorithm(self.algorithm)?;
        let key =
            SubjectPublicKeyInfoOwned::from_der(self.key).map_err(|_| CertificateError::Key)?;
        let serial = self.serial(domain);
        let certificate = Signed {
            body: Body {
                // Versions count from 0: this is version 3.
                version: 2,
                serial: UintRef::new(&serial)?,
                algorithm: algorithm.clone(),
                issuer: subject(domain)?,
                validity: Validity {
                    not_before: time(self.not_before)?,
                    not_after: time(self.not_after)?,
                },
                subject: subject(domain)?,
                key,
                extensions: extensions(domain)?,
            },
            algorithm,
            signature: BitString::from_bytes(self.signature)?,
        };
        Ok(certificate.to_der()?)
    }

    /// The serial number, derived as IFA-0003 says.
    fn serial(&self, domain: &str) -> Vec<u8> {
        let mut all = sha256::Hash::engine();
        for part in [
            domain.as_bytes(),
            self.key,
            &self.not_before.to_be_bytes(),
            &self.not_after.to_be_bytes(),
        ] {
            all.input(sha256::Hash::hash(part).as_byte_array());
        }
        let hash = sha256::Hash::from_engine(all).to_byte_array();
        hash.into_iter().take(SERIAL_LENGTH).collect()
    }
}

/// The domain name that a certificate at an owner name is for: the owner name
/// without its leading labels for port and protocol, as in ncdns.
pub fn domain(owner: &Name) -> String {
    let mut labels: Vec<&[u8]> = owner.iter().collect();
    for _ in 0..2 {
        if labels.first().is_some_and(|label| label.starts_with(b"_")) {
            labels.remove(0);
        }
    }
    let labels: Vec<_> = labels.into_iter().map(String::from_utf8_lossy).collect();
    labels.join(".")
}

/// The numbers of Go's `x509.SignatureAlgorithm`, except for algorithms that
/// are broken or rarely used.
fn algorithm(number: u64) -> Result<AlgorithmIdentifierOwned, CertificateError> {
    let (oid, rsa) = match number {
        3 => ("1.2.840.113549.1.1.5", true),
        4 => ("1.2.840.113549.1.1.11", true),
        5 => ("1.2.840.113549.1.1.12", true),
        6 => ("1.2.840.113549.1.1.13", true),
        10 => ("1.2.840.10045.4.3.2", false),
        11 => ("1.2.840.10045.4.3.3", false),
        12 => ("1.2.840.10045.4.3.4", false),
        other => return Err(CertificateError::Algorithm(other)),
    };
    Ok(AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new(oid).map_err(|_| CertificateError::Encoding)?,
        // NULL for RSA, absent for ECDSA (RFC 4055 section 5, RFC 5758 section
        // 3.2).
        parameters: rsa.then(Any::null),
    })
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5).
fn time(units: u64) -> Result<Time, CertificateError> {
    let seconds = units.checked_mul(UNIT).ok_or(CertificateError::Validity)?;
    let time = DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_err(|_| CertificateError::Validity)?;
    Ok(if time.year() < 2050 {
        Time::UtcTime(time.try_into()?)
    } else {
        Time::GeneralTime(time.into())
    })
}

fn subject(domain: &str) -> Result<Subject, der::Error> {
    Ok(vec![
        attribute(COMMON_NAME, domain)?,
        attribute(SERIAL_NUMBER, SUBJECT_SERIAL)?,
    ])
}

fn attribute(
    oid: ObjectIdentifier,
    text: &str,
) -> Result<SetOfVec<AttributeTypeAndValue>, der::Error> {
    // PrintableString cannot hold `_` or `*`.
    let value = match PrintableString::new(text) {
        Ok(text) => Any::encode_from(&text)?,
        Err(_) => Any::encode_from(&Utf8StringRef::new(text)?)?,
    };
    SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])
}

fn extensions(domain: &str) -> Result<Vec<Extension>, der::Error> {
    let extension = |oid, critical, value: Vec<u8>| {
        Ok::<_, der::Error>(Extension {
            extn_id: oid,
            critical,
            extn_value: OctetString::new(value)?,
        })
    };
    let usage = KeyUsage(FlagSet::from(KeyUsages::DigitalSignature));
    let constraints = BasicConstraints {
        ca: false,
        path_len_constraint: None,
    };
    let names = SubjectAltName(vec![GeneralName::DnsName(Ia5String::new(domain)?)]);
    Ok(vec![
        extension(KEY_USAGE, true, usage.to_der()?)?,
        extension(
            EXTENDED_USAGE,
            false,
            ExtendedKeyUsage(vec![SERVER_AUTH]).to_der()?,
        )?,
        extension(CONSTRAINTS, true, constraints.to_der()?)?,
        extension(ALTERNATIVE_NAME, false, names.to_der()?)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64;

    const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGm0zZlzrnwEYvub3BG3+VTKjvXWdMntoTanw3cwGAqcb0ALFrt5MdChT9t4josaefnGdVHa+ZBNmSEIaNZNhnw==";
    const SIGNATURE: &str = "MEUCIQCEkb4Q+AV8FsQgRoWSZ3S+1Ww/SySl4238SjTv5d/WAgIgX2rAhfCQ3gGG1Abhme8mDTG641vIYHJuz8d6m7IrgJo=";
    /// The certificate printed in IFA-0003.
    const CERTIFICATE: &str = "MIIBzDCCAXKgAwIBAgITUQYQ/hJTgeXN7Zo4fRklQjQQVDAKBggqhkjOPQQDAjA9MRgwFgYDVQQDEw93d3cudmVjbGFicy5iaXQxITAfBgNVBAUTGE5hbWVjb2luIFRMUyBDZXJ0aWZpY2F0ZTAeFw0xNzAxMDEwMDAwMDBaFw0xOTAxMDEwMDAwMDBaMD0xGDAWBgNVBAMTD3d3dy52ZWNsYWJzLmJpdDEhMB8GA1UEBRMYTmFtZWNvaW4gVExTIENlcnRpZmljYXRlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGm0zZlzrnwEYvub3BG3+VTKjvXWdMntoTanw3cwGAqcb0ALFrt5MdChT9t4josaefnGdVHa+ZBNmSEIaNZNhn6NRME8wDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMAwGA1UdEwEB/wQCMAAwGgYDVR0RBBMwEYIPd3d3LnZlY2xhYnMuYml0MAoGCCqGSM49BAMCA0gAMEUCIQCEkb4Q+AV8FsQgRoWSZ3S+1Ww/SySl4238SjTv5d/WAgIgX2rAhfCQ3gGG1Abhme8mDTG641vIYHJuz8d6m7IrgJo=";

    #[test]
    fn the_example_of_ifa_0003_matches_byte_for_byte() {
        let (key, signature) = (decode(KEY), decode(SIGNATURE));
        let rebuilt = example(&key, &signature).rebuild("www.veclabs.bit");
        assert_eq!(BASE64.encode(&rebuilt.unwrap()), CERTIFICATE);
    }

    #[test]
    fn times_are_bounded_and_change_format_in_2050() {
        let unit = |year: u16| {
            DateTime::new(year, 1, 1, 0, 0, 0)
                .unwrap()
                .unix_duration()
                .as_secs()
                / UNIT
        };
        assert!(matches!(time(unit(2050) - 1), Ok(Time::UtcTime(_))));
        assert!(matches!(time(unit(2050)), Ok(Time::GeneralTime(_))));
        assert!(time(unit(9999)).is_ok());
        assert_eq!(
            time(unit(9999) + 366 * 288),
            Err(CertificateError::Validity)
        );
        assert_eq!(time(u64::MAX), Err(CertificateError::Validity));
    }

    #[test]
    fn invalid_input_is_an_error() {
        let (key, signature) = (decode(KEY), decode(SIGNATURE));
        let good = example(&key, &signature);
        for algorithm in [0, 1, 2, 7, 13, 255, u64::MAX] {
            let bad = DehydratedCertificate { algorithm, ..good };
            assert_eq!(
                bad.rebuild("a.bit"),
                Err(CertificateError::Algorithm(algorithm))
            );
        }
        for broken in [&key[1..], &key[..20], &[][..]] {
            let bad = DehydratedCertificate {
                key: broken,
                ..good
            };
            assert_eq!(bad.rebuild("a.bit"), Err(CertificateError::Key));
        }
        for algorithm in [3, 4, 5, 6, 11, 12] {
            assert!(
                DehydratedCertificate { algorithm, ..good }
                    .rebuild("a_b.*.bit")
                    .is_ok()
            );
        }
    }

    #[test]
    fn the_domain_excludes_port_and_protocol() {
        for (owner, expected) in [
            ("_443._tcp.www.example.bit.", "www.example.bit"),
            ("_tcp.example.bit.", "example.bit"),
            ("example.bit.", "example.bit"),
            ("_a._b._c.example.bit.", "_c.example.bit"),
            ("*.example.bit.", "*.example.bit"),
        ] {
            assert_eq!(domain(&Name::from_ascii(owner).unwrap()), expected);
        }
    }

    fn decode(text: &str) -> Vec<u8> {
        BASE64.decode(text.as_bytes()).unwrap()
    }

    fn example<'a>(key: &'a [u8], signature: &'a [u8]) -> DehydratedCertificate<'a> {
        DehydratedCertificate {
            key,
            not_before: 4_944_096,
            not_after: 5_154_336,
            algorithm: 10,
            signature,
        }
    }
}
