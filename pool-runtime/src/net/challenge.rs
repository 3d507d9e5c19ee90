//! What proves that somebody knows the key: a keyed digest of bytes that the other side chose.
//!
//! CPython up to 3.11 sends 20 bytes and expects an HMAC of them with MD5, bare. CPython from 3.12 on writes the digest's
//! name in braces before its bytes, both in the challenge and in the answer, and the digest covers the name too, so that
//! nobody in between can put a weaker one there. Which of the two it is shows in the length.

use hmac::{Hmac, KeyInit, Mac, SimpleHmac};

/// What begins a challenge.
pub(crate) const CHALLENGE: &[u8] = b"#CHALLENGE#";
/// What accepts an answer.
pub(crate) const WELCOME: &[u8] = b"#WELCOME#";
/// What refuses one.
pub(crate) const FAILURE: &[u8] = b"#FAILURE#";
/// No message of a handshake is longer.
pub(crate) const LONGEST: usize = 256;

/// Random bytes in a challenge of ours.
const RANDOM: usize = 40;
/// A challenge of this length is an old one, without a name.
const OLD_CHALLENGE: usize = 20;
/// An answer of this length is an old one: a bare MD5.
const OLD_ANSWER: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digest {
    Md5,
    Sha256,
    Sha384,
    Sha3With256,
    Sha3With384,
}

impl Digest {
    const ALL: [(&'static str, Self); 5] = [
        ("md5", Self::Md5),
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha3_256", Self::Sha3With256),
        ("sha3_384", Self::Sha3With384),
    ];

    fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => mac::<Hmac<md5::Md5>>(key, message),
            Self::Sha256 => mac::<Hmac<sha2::Sha256>>(key, message),
            Self::Sha384 => mac::<Hmac<sha2::Sha384>>(key, message),
            Self::Sha3With256 => mac::<SimpleHmac<sha3::Sha3_256>>(key, message),
            Self::Sha3With384 => mac::<SimpleHmac<sha3::Sha3_384>>(key, message),
        }
    }

    /// Compares in a time that does not tell where the first difference is.
    fn verify(self, key: &[u8], message: &[u8], answer: &[u8]) -> bool {
        match self {
            Self::Md5 => verify::<Hmac<md5::Md5>>(key, message, answer),
            Self::Sha256 => verify::<Hmac<sha2::Sha256>>(key, message, answer),
            Self::Sha384 => verify::<Hmac<sha2::Sha384>>(key, message, answer),
            Self::Sha3With256 => verify::<SimpleHmac<sha3::Sha3_256>>(key, message, answer),
            Self::Sha3With384 => verify::<SimpleHmac<sha3::Sha3_384>>(key, message, answer),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    // An HMAC takes a key of any length.
    M::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

fn verify<M: Mac + KeyInit>(key: &[u8], message: &[u8], answer: &[u8]) -> bool {
    M::new_from_slice(key).is_ok_and(|mac| mac.chain_update(message).verify_slice(answer).is_ok())
}

/// The digest that `{name}` at the beginning names, and what follows.
fn named(message: &[u8]) -> Option<(Digest, &[u8])> {
    let rest = message.strip_prefix(b"{")?;
    Digest::ALL.iter().find_map(|(name, digest)| {
        let rest = rest.strip_prefix(name.as_bytes())?.strip_prefix(b"}")?;
        Some((*digest, rest))
    })
}

/// A challenge of our own, from bytes that nobody could foresee; without `#CHALLENGE#`. Peers of before 3.12 digest it whole.
pub(crate) fn make(random: [u8; RANDOM]) -> Vec<u8> {
    [&b"{sha256}"[..], &random[..]].concat()
}

/// The answer to a challenge; `None` when it is none. `challenge` is what follows `#CHALLENGE#`.
pub(crate) fn answer(key: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
    if challenge.len() == OLD_CHALLENGE || challenge.len() == OLD_ANSWER {
        return (challenge.len() == OLD_CHALLENGE).then(|| Digest::Md5.mac(key, challenge));
    }
    let (digest, random) = named(challenge)?;
    // Too few bytes could have been answered before, by somebody who kept the answer.
    if random.len() < OLD_CHALLENGE {
        return None;
    }
    let name = Digest::ALL.iter().find(|(_, other)| *other == digest)?.0;
    Some([b"{", name.as_bytes(), b"}", &digest.mac(key, challenge)].concat())
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    Wrong,
    /// It is no answer at all.
    Junk,
}

/// Holds an answer against our challenge. A peer may choose any digest that CPython knows.
pub(crate) fn check(key: &[u8], challenge: &[u8], answer: &[u8]) -> Verdict {
    let (digest, mac) = match (answer.len(), named(answer)) {
        (OLD_ANSWER, _) => (Digest::Md5, answer),
        (_, Some(named)) => named,
        (_, None) => return Verdict::Junk,
    };
    if digest.verify(key, challenge, mac) { Verdict::Right } else { Verdict::Wrong }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Verdict, answer, check, make, named};

    // test_challengeresponse: the old form and the new one.
    #[test]
    fn both_forms_of_challenge_are_answered() {
        let new = make([9; 40]);
        let good = answer(b"key", &new).expect("a challenge of ours is one");
        assert!(good.starts_with(b"{sha256}") && good.len() == 8 + 32);
        assert_eq!(check(b"key", &new, &good), Verdict::Right);
        assert_eq!(check(b"other", &new, &good), Verdict::Wrong);
        let old = answer(b"key", &[5; 20]).expect("twenty bytes are an old challenge");
        assert_eq!(old.len(), 16);
        assert_eq!(check(b"key", &[5; 20], &old), Verdict::Right);
        // An old peer digests our challenge whole, with its name.
        assert_eq!(check(b"key", &new, &Digest::Md5.mac(b"key", &new)), Verdict::Right);
    }

    #[test]
    fn every_digest_that_cpython_knows_is_known() {
        for (name, _) in Digest::ALL {
            let challenge = [format!("{{{name}}}").as_bytes(), &[3; 40]].concat();
            let reply = answer(b"k", &challenge).expect(name);
            assert_eq!(check(b"k", &challenge, &reply), Verdict::Right, "{name}");
            assert_eq!(
                named(&reply).map(|(digest, _)| digest),
                named(&challenge).map(|(digest, _)| digest)
            );
        }
    }

    // RFC 2202, test case 2; RFC 4231, test case 2.
    #[test]
    fn digests_are_the_published_ones() {
        let hex =
            |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let said = b"what do ya want for nothing?";
        assert_eq!(hex(Digest::Md5.mac(b"Jefe", said)), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(
            hex(Digest::Sha256.mac(b"Jefe", said)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn what_is_no_challenge_is_not_answered() {
        for bad in [
            &b""[..],
            b"short",
            &[1; 16],
            &[1; 19],
            &[1; 21],
            b"{sha1}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"{sha256}short",
            b"{sha256",
        ] {
            assert_eq!(answer(b"k", bad), None, "{bad:?}");
        }
        assert_eq!(check(b"k", &make([0; 40]), b"nonsense"), Verdict::Junk);
        assert_eq!(check(b"k", &make([0; 40]), b"{sha256}too short"), Verdict::Wrong);
    }
}
