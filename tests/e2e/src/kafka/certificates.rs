//! An authority and a server certificate for `localhost`, as PEM files; and a second authority
//! that signed nothing, for clients that must not trust the server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};

const DAYS: u32 = 30;
const BITS: u32 = 2048;
/// What X.509 calls version 3.
const VERSION_3: i32 = 2;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes new ones in `dir`.
    pub(super) fn make(dir: &Path) -> Result<Certificates> {
        fs::create_dir_all(dir).context("make a directory for certificates")?;
        let made = Certificates { dir: dir.to_path_buf() };
        let authority = Identity::authority("starsink test authority").context("make authority")?;
        let stranger = Identity::authority("another authority").context("make authority")?;
        let server = Identity::server("localhost", &authority).context("make certificate")?;
        let chain = [
            server.key.private_key_to_pem_pkcs8()?,
            server.cert.to_pem()?,
            authority.cert.to_pem()?,
        ];
        fs::write(made.server(), chain.concat()).context("write the server's PEM")?;
        fs::write(made.authority(), authority.cert.to_pem()?)
            .context("write the authority's PEM")?;
        fs::write(made.stranger(), stranger.cert.to_pem()?).context("write the authority's PEM")?;
        Ok(made)
    }

    /// PEM with the server's private key and its certificate chain.
    pub fn server(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// PEM with the authority that clients should trust.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("authority.pem")
    }

    /// PEM with an authority that did not sign the server's certificate.
    pub fn stranger(&self) -> PathBuf {
        self.dir.join("stranger.pem")
    }
}

struct Identity {
    key: PKey<Private>,
    cert: X509,
}

impl Identity {
    fn authority(name: &str) -> Result<Identity, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(BITS)?)?;
        let mut cert = unsigned(name, &key)?;
        let subject = named(name)?;
        cert.set_issuer_name(&subject)?;
        cert.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        cert.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        cert.sign(&key, MessageDigest::sha256())?;
        Ok(Identity { cert: cert.build(), key })
    }

    fn server(host: &str, authority: &Identity) -> Result<Identity, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(BITS)?)?;
        let mut cert = unsigned(host, &key)?;
        cert.set_issuer_name(authority.cert.subject_name())?;
        let names = SubjectAlternativeName::new()
            .dns(host)
            .ip("127.0.0.1")
            .build(&cert.x509v3_context(Some(&authority.cert), None))?;
        cert.append_extension(names)?;
        cert.sign(&authority.key, MessageDigest::sha256())?;
        Ok(Identity { cert: cert.build(), key })
    }
}

fn unsigned(name: &str, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let (from, until) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(DAYS)?);
    let mut cert = X509::builder()?;
    cert.set_version(VERSION_3)?;
    cert.set_serial_number(&serial)?;
    let subject = named(name)?;
    cert.set_subject_name(&subject)?;
    cert.set_pubkey(key)?;
    cert.set_not_before(&from)?;
    cert.set_not_after(&until)?;
    Ok(cert)
}

fn named(name: &str) -> Result<openssl::x509::X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}
