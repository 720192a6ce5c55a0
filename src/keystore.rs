//! Java's key and trust stores as PEM, which is what librdkafka and HTTP clients take: JKS and PKCS12.
//!
//! Owns the JKS format (Sun's, with its key protector); PKCS12 is OpenSSL's work. Reads no file.

use openssl::pkcs12::{ParsedPkcs12_2, Pkcs12};
use openssl::pkey::{PKey, Private};
use openssl::sha::Sha1;
use openssl::x509::X509;

/// The authorities of a trust store.
pub enum Trusted {
    /// The file is PEM already: use it as it is.
    IsPem,
    Pem(String),
}

/// A client's certificate chain and key.
pub enum Identity {
    IsPem,
    /// librdkafka opens it by itself.
    IsPkcs12,
    Pem {
        chain: String,
        key: String,
    },
}

/// What a store is, by its first bytes: types are often left at Java's default and wrong.
enum Form {
    Pem,
    Jks,
    Pkcs12,
}

const JKS_MAGIC: [u8; 4] = [0xFE, 0xED, 0xFE, 0xED];
const JCEKS_MAGIC: [u8; 4] = [0xCE, 0xCE, 0xCE, 0xCE];
/// The tag of an ASN.1 sequence.
const DER_SEQUENCE: u8 = 0x30;
const DER_OCTETS: u8 = 0x04;

fn form(bytes: &[u8]) -> Result<Form, String> {
    let pem = |window: &[u8]| window == b"-----BEGIN";
    match bytes {
        _ if bytes.starts_with(&JKS_MAGIC) => Ok(Form::Jks),
        _ if bytes.starts_with(&JCEKS_MAGIC) => Err("JCEKS stores are not supported".to_owned()),
        [DER_SEQUENCE, ..] => Ok(Form::Pkcs12),
        _ if bytes.windows(10).any(pem) => Ok(Form::Pem),
        _ => Err("it is neither JKS nor PKCS12 nor PEM".to_owned()),
    }
}

/// Every certificate of a trust store.
pub fn certificates(bytes: &[u8], password: Option<&str>) -> Result<Trusted, String> {
    let certificates = match form(bytes)? {
        Form::Pem => return Ok(Trusted::IsPem),
        Form::Jks => {
            let store = Jks::read(bytes, password)?;
            let chains = store.keys.into_iter().flat_map(|key| key.chain);
            store.trusted.into_iter().chain(chains).collect()
        }
        Form::Pkcs12 => chain_of(&pkcs12(bytes, password.unwrap_or_default())?)?,
    };
    match certificates.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(Trusted::Pem(pem_of(&certificates)?)),
    }
}

/// The first key of a key store with its chain.
pub fn identity(
    bytes: &[u8],
    password: Option<&str>,
    key_password: Option<&str>,
) -> Result<Identity, String> {
    match form(bytes)? {
        Form::Pem => Ok(Identity::IsPem),
        Form::Pkcs12 => Ok(Identity::IsPkcs12),
        Form::Jks => {
            let store = Jks::read(bytes, password)?;
            let entry = store.keys.into_iter().next().ok_or("it holds no private key")?;
            let password = key_password.or(password).ok_or("its password is not given")?;
            let der = unprotect(&entry.protected, password)?;
            let key = PKey::private_key_from_pkcs8(&der).map_err(|_| "its key is damaged")?;
            let key = key.private_key_to_pem_pkcs8().map_err(|error| error.to_string())?;
            let key = String::from_utf8(key).map_err(|error| error.to_string())?;
            Ok(Identity::Pem { chain: pem_of(&entry.chain)?, key })
        }
    }
}

/// Every certificate of a trust store of any form, in PEM.
pub fn pem_certificates(bytes: &[u8], password: Option<&str>) -> Result<String, String> {
    match certificates(bytes, password)? {
        Trusted::IsPem => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Trusted::Pem(pem) => Ok(pem),
    }
}

/// Chain and key of a key store of any form, in PEM; the key as PKCS#8 without encryption.
pub fn pem_identity(
    bytes: &[u8],
    password: Option<&str>,
    key_password: Option<&str>,
) -> Result<(String, String), String> {
    let pem = |key: &PKey<Private>| {
        let pem = key.private_key_to_pem_pkcs8().map_err(|error| error.to_string())?;
        String::from_utf8(pem).map_err(|error| error.to_string())
    };
    match identity(bytes, password, key_password)? {
        Identity::Pem { chain, key } => Ok((chain, key)),
        Identity::IsPkcs12 => {
            let parsed = pkcs12(bytes, password.unwrap_or_default())?;
            let key = parsed.pkey.as_ref().ok_or("it holds no private key")?;
            Ok((pem_of(&chain_of(&parsed)?)?, pem(key)?))
        }
        Identity::IsPem => {
            // A callback always, because OpenSSL would ask at the terminal otherwise.
            let key = PKey::private_key_from_pem_callback(bytes, |room| {
                let password = key_password.or(password).unwrap_or_default().as_bytes();
                let length = password.len().min(room.len());
                room[..length].copy_from_slice(&password[..length]);
                Ok(length)
            });
            let key = key.map_err(|_| "it holds no private key that the password opens")?;
            let chain = X509::stack_from_pem(bytes).map_err(|_| "its certificates are damaged")?;
            let chain: Result<Vec<_>, _> = chain.iter().map(|one| one.to_der()).collect();
            Ok((pem_of(&chain.map_err(|error| error.to_string())?)?, pem(&key)?))
        }
    }
}

fn pkcs12(bytes: &[u8], password: &str) -> Result<ParsedPkcs12_2, String> {
    let store = Pkcs12::from_der(bytes).map_err(|_| "it is damaged, or no PKCS12 store")?;
    let parsed = store.parse2(password).map_err(|stack| {
        let too_old = stack.errors().iter().any(|error| error.reason() == Some("unsupported"));
        match too_old {
            true => "its encryption is too old for OpenSSL 3; a current `keytool -importkeystore` writes it anew",
            false => "the password does not open it",
        }
    })?;
    Ok(parsed)
}

/// The key's own certificate first, in DER.
fn chain_of(parsed: &ParsedPkcs12_2) -> Result<Vec<Vec<u8>>, String> {
    let of_key = parsed.cert.iter().map(|one| one.to_der());
    let others = parsed.ca.iter().flatten().map(|one| one.to_der());
    of_key.chain(others).map(|one| one.map_err(|error| error.to_string())).collect()
}

/// PEM as OpenSSL wants it: Java also reads blocks whose lines are joined by blanks, as a
/// `.properties` value often is.
pub fn broken_into_lines(pem: &str) -> String {
    const DASHES: &str = "-----";
    const LINE_LETTERS: usize = 64;
    let mut text = String::new();
    for (at, part) in pem.split(DASHES).enumerate() {
        match at % 4 {
            // Between two blocks, or before the first: nothing of use.
            0 => {}
            // `BEGIN …` and `END …`.
            1 | 3 => text.push_str(&format!("{DASHES}{part}{DASHES}\n")),
            // An encrypted key in the old form has headers, whose lines must stay.
            _ if part.contains(':') => text.push_str(part.trim_start()),
            _ => {
                let letters: Vec<char> = part.chars().filter(|one| !one.is_whitespace()).collect();
                for line in letters.chunks(LINE_LETTERS) {
                    text.extend(line);
                    text.push('\n');
                }
            }
        }
    }
    text
}

fn pem_of(certificates: &[Vec<u8>]) -> Result<String, String> {
    let mut pem = String::new();
    for der in certificates {
        let one = X509::from_der(der).and_then(|certificate| certificate.to_pem());
        let one = one.map_err(|_| "it holds a damaged certificate")?;
        pem.push_str(&String::from_utf8_lossy(&one));
    }
    Ok(pem)
}

/// A JKS file, taken apart.
#[derive(Default)]
struct Jks {
    keys: Vec<JksKey>,
    /// DER.
    trusted: Vec<Vec<u8>>,
}

struct JksKey {
    /// PKCS#8's EncryptedPrivateKeyInfo with Sun's own algorithm inside.
    protected: Vec<u8>,
    /// DER, the key's own certificate first.
    chain: Vec<Vec<u8>>,
}

const DIGEST_BYTES: usize = 20;

impl Jks {
    /// Takes the file apart; with a password its digest is checked first, as Java does.
    fn read(bytes: &[u8], password: Option<&str>) -> Result<Self, String> {
        let body = bytes.len().checked_sub(DIGEST_BYTES).ok_or("it is cut off")?;
        let (body, digest) = bytes.split_at(body);
        let fits = |password| sha1(&[&utf16(password), b"Mighty Aphrodite", body]) == digest;
        if !password.is_none_or(fits) {
            return Err("the password does not open it, or it is damaged".to_owned());
        }
        Jks::entries(&mut Cursor(body)).ok_or_else(|| "it is cut off or damaged".to_owned())
    }

    fn entries(cursor: &mut Cursor<'_>) -> Option<Self> {
        let _magic = cursor.number()?;
        let version = cursor.number()?;
        let count = cursor.number()?;
        let mut store = Jks::default();
        for _ in 0..count {
            let tag = cursor.number()?;
            let _alias = cursor.text()?;
            let _created = cursor.take(8)?;
            match tag {
                1 => {
                    let protected = cursor.block()?.to_vec();
                    let length = cursor.number()?;
                    let chain: Option<_> =
                        (0..length).map(|_| cursor.certificate(version)).collect();
                    store.keys.push(JksKey { protected, chain: chain? });
                }
                2 => store.trusted.push(cursor.certificate(version)?),
                _ => return None,
            }
        }
        Some(store)
    }
}

/// Big-endian fields, one after the other.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?.try_into().ok().map(u16::from_be_bytes)?;
        self.take(usize::from(length))
    }

    /// Version 2 names the certificate's type, which is always X.509.
    fn certificate(&mut self, version: u32) -> Option<Vec<u8>> {
        if version == 2 {
            self.text()?;
        }
        self.block().map(<[u8]>::to_vec)
    }
}

/// Undoes Sun's key protector: salt, the key XORed with a chain of SHA-1 digests, and a check.
fn unprotect(encrypted_key_info: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let damaged = "its key is damaged";
    let (sequence, _) = der(encrypted_key_info, DER_SEQUENCE).ok_or(damaged)?;
    let (_algorithm, rest) = der(sequence, DER_SEQUENCE).ok_or(damaged)?;
    let (protected, _) = der(rest, DER_OCTETS).ok_or(damaged)?;
    let (salt, rest) = protected.split_at_checked(DIGEST_BYTES).ok_or(damaged)?;
    let length = rest.len().checked_sub(DIGEST_BYTES).ok_or(damaged)?;
    let (encrypted, check) = rest.split_at(length);
    let password = utf16(password);
    let mut digest = salt.to_vec();
    let mut key = Vec::with_capacity(length);
    for chunk in encrypted.chunks(DIGEST_BYTES) {
        digest = sha1(&[&password, &digest]).to_vec();
        key.extend(chunk.iter().zip(&digest).map(|(byte, mask)| byte ^ mask));
    }
    if sha1(&[&password, &key]) != check {
        return Err("the password does not open its key".to_owned());
    }
    Ok(key)
}

/// The content of a DER element of this tag and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..0x80 => (usize::from(short), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            let fits = digits.len() <= 4;
            let add = |sum: usize, &digit: &u8| sum << 8 | usize::from(digit);
            (fits.then(|| digits.iter().fold(0, add))?, rest)
        }
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sha1(parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut digest = Sha1::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finish()
}
