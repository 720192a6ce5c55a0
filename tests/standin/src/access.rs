//! Users, passwords and grants, and the `Authorization: Basic` header.

use std::collections::HashMap;

/// What a statement or request needs on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    Select,
    Insert,
    /// Any privilege at all, as DESC asks.
    Any,
}

/// One GRANT on tables; `None` is every database or every table.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) select: bool,
    pub(crate) insert: bool,
    pub(crate) db: Option<String>,
    pub(crate) table: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    pub(crate) password: String,
    pub(crate) admin: bool,
    /// OPERATE or NODE on SYSTEM.
    pub(crate) operate: bool,
    pub(crate) grants: Vec<Grant>,
}

impl User {
    pub(crate) fn may(&self, need: Privilege, db: &str, table: &str) -> bool {
        self.admin
            || self.grants.iter().any(|g| {
                let allows = match need {
                    Privilege::Select => g.select,
                    Privilege::Insert => g.insert,
                    Privilege::Any => true,
                };
                allows
                    && g.db.as_deref().is_none_or(|d| d.eq_ignore_ascii_case(db))
                    && g.table.as_deref().is_none_or(|t| t == table)
            })
    }

    /// Whether any grant reaches into the database.
    pub(crate) fn sees_db(&self, db: &str) -> bool {
        self.admin
            || self
                .grants
                .iter()
                .any(|g| g.db.as_deref().is_none_or(|d| d.eq_ignore_ascii_case(db)))
    }
}

/// All users by name; root with an empty password is there from the start.
#[derive(Debug)]
pub(crate) struct Users(pub(crate) HashMap<String, User>);

impl Default for Users {
    fn default() -> Self {
        let root = User { admin: true, operate: true, ..User::default() };
        Self(HashMap::from([("root".to_owned(), root)]))
    }
}

/// Name and password out of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Why a header gives no login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoLogin {
    Missing,
    /// The frontend's wording of the decoder's complaint.
    Garbled(String),
}

impl Login {
    pub(crate) fn from_header(header: Option<&str>) -> Result<Self, NoLogin> {
        let encoded = header.and_then(|h| h.strip_prefix("Basic ")).ok_or(NoLogin::Missing)?;
        let bytes = base64(encoded.trim()).map_err(|byte| {
            NoLogin::Garbled(format!("invalid Base64 input character: {byte} (decimal)"))
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (name, password) = text.split_once(':').ok_or(NoLogin::Missing)?;
        // `user@cluster` is an old spelling of `user`; more than one `@` is part of the name.
        let user = match name.split_once('@') {
            Some((user, cluster)) if !cluster.contains('@') => user,
            _ => name,
        };
        Ok(Self { user: user.to_owned(), password: password.to_owned() })
    }
}

impl Users {
    pub(crate) fn check(&self, login: &Login) -> Option<&User> {
        self.0.get(&login.user).filter(|u| u.password == login.password)
    }
}

/// Decodes standard Base64; the error is the first byte that is none.
fn base64(text: &str) -> Result<Vec<u8>, u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes().filter(|b| *b != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => return Err(other),
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expect: Result<(&str, &str), NoLogin>) {
        let got = Login::from_header(Some(header));
        let expect = expect.map(|(u, p)| Login { user: u.to_owned(), password: p.to_owned() });
        assert_eq!(got, expect);
    }

    #[test]
    fn a_basic_header_gives_user_and_password() {
        check("Basic cm9vdDo=", Ok(("root", "")));
        check("Basic dTpwOnE=", Ok(("u", "p:q")));
        check("Basic dUBjOnA=", Ok(("u", "p")));
        check("Bearer x", Err(NoLogin::Missing));
        let text = "invalid Base64 input character: 33 (decimal)".to_owned();
        check("Basic !!!", Err(NoLogin::Garbled(text)));
    }
}
