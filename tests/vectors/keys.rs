//! Vectors of `2-keys.md`: ids, the repository header, key slots, recovery codes.

use crate::table::{Set, cut, join, with};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use stash::codec::crypto::{Key, recovery_words};
use stash::format::cbor::{self, Value};
use stash::format::key::{
    About, Grant, Granted, KeySlot, Older, RepositoryHeader, SecretBytes, Secrets,
};
use stash::format::object::{ObjectKind, encode_prefix};
use stash::id::{ObjectHash, RepositoryId};
use x25519_dalek::{PublicKey, StaticSecret};

fn repository() -> RepositoryHeader {
    RepositoryHeader {
        id: RepositoryId([3; 16]),
        created: 1_700_000_000_000_000_000,
        window: 3600,
        grace: 259_200,
        chunker: 1,
        ..RepositoryHeader::default()
    }
}

pub fn keys(set: &mut Set) {
    set.page("keys");
    set.kind("blob-id", &[("blob", "data")]);
    set.add("blob-id-data", "ok", "the id of `abc` as data", *b"abc");
    set.add("blob-id-of-nothing", "ok", "the id of no bytes", []);
    set.kind("blob-id", &[("blob", "list")]);
    set.add("blob-id-list", "ok", "the same bytes as a list have another id", *b"abc");
    set.kind("blob-id", &[("blob", "tree")]);
    set.add("blob-id-tree", "ok", "the same bytes as a tree have another id", *b"abc");
    set.kind("blob-id", &[("blob", "attachment")]);
    set.add("blob-id-attachment", "ok", "and as an attachment", *b"abc");
    set.kind("snapshot-id", &[]);
    set.add("snapshot-id", "ok", "the id of a snapshot that is an empty map", *b"\xa0");
    set.kind("name-hash", &[]);
    set.add("name-hash", "ok", "the hash of the name `src`", *b"src");
    set.kind("gear-key", &[]);
    set.add("gear-key", "ok", "the key that cut points come from; no input", []);

    set.kind("repository", &[]);
    let bytes = repository().encode();
    set.add("repository", "ok", "a header with the usual window and grace", bytes.clone());
    let tight = RepositoryHeader { window: 5, grace: 100, ..repository() };
    set.add("repository-tight", "ok", "the least grace for its window", tight.encode());
    let mut change = |name, expect, why, change: fn(&mut RepositoryHeader)| {
        let mut header = repository();
        change(&mut header);
        set.add(name, expect, why, header.encode());
    };
    change("repository-short-grace", "inconsistent", "below 20 windows", |header| {
        header.grace = 71_999;
    });
    change("repository-no-window", "inconsistent", "a window of nothing", |header| {
        header.window = 0;
    });
    change("repository-huge-window", "inconsistent", "20 windows exceed 64 bits", |header| {
        header.window = u64::MAX;
    });
    change("repository-other-chunker", "unknown", "a way of cutting to come", |header| {
        header.chunker = 2;
    });
    change("repository-no-chunker", "unknown", "no way of cutting", |header| header.chunker = 0);
    change("repository-two-flags", "inconsistent", "exclusive and replicated", |header| {
        header.flags = 3;
    });
    change("repository-unknown-flag", "ok", "flags that are not known are ignored", |header| {
        header.flags = 64;
    });
    set.add("repository-epoch", "not-canonical", "it has no epoch", with(&bytes, 12, 1));
    set.add("repository-feature", "not-canonical", "it has no features", with(&bytes, 8, 1));
    set.add("repository-newer", "version", "refused before it is decoded", with(&bytes, 4, 2));
    set.add("repository-other-kind", "bad-magic", "a slot in its place", with(&bytes, 5, 2));
    set.add("repository-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("repository-trailing", "trailing-bytes", "one byte more", join(&[&bytes, b"\0"]));
    set.add(
        "repository-short-id",
        "malformed",
        "an id of 15 bytes",
        join(&[&encode_prefix(ObjectKind::Repository, 0, 0), b"\xa1\x61i\x4f", &[3; 15]]),
    );

    set.kind("recovery-words", &[]);
    let words = recovery_words(&Key([0xa5; 32])).unwrap().to_string();
    set.add("recovery-words", "ok", "24 words of 32 bytes a5", words.clone());
    set.add(
        "recovery-words-as-typed",
        "ok",
        "any case, any white space",
        format!(" {}\n", words.to_uppercase().replace(' ', "\t\n")),
    );
    let zeros = format!("{}art", "abandon ".repeat(23));
    set.add("recovery-words-zeros", "ok", "the words of 32 zero bytes", zeros);
    let swapped: Vec<&str> = words.split(' ').rev().collect();
    set.add("recovery-words-reversed", "bad-words", "the checksum fails", swapped.join(" "));
    set.add(
        "recovery-words-23",
        "bad-words",
        "one word is missing",
        words.rsplit_once(' ').unwrap().0.to_owned(),
    );
    set.add(
        "recovery-words-unknown",
        "bad-words",
        "a word that is not in the list",
        words.replacen(words.split(' ').next().unwrap(), "stash", 1),
    );
    set.add(
        "recovery-words-12",
        "bad-words",
        "a good code, but of 128 bits",
        format!("{}about", "abandon ".repeat(11)),
    );
    set.add("recovery-words-empty", "bad-words", "no words", []);
    set.add("recovery-words-no-utf8", "bad-words", "no text", [0xff; 8]);
}

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(context).update(&parts.concat()).finalize().as_bytes()
}

/// Makes a slot as page 2 says, from the primitives alone.
fn slot(secret: &str, value: &[u8], change: impl FnOnce(&mut Secrets)) -> KeySlot {
    let salt = [5; 32];
    let mut slot = KeySlot { salt: salt.to_vec().into(), ..KeySlot::default() };
    let mut material = value.to_vec();
    (slot.kind, slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = match secret {
        "device" => (1, 0, 0, 0),
        "passphrase" => (2, 65_536, 3, 4),
        _ => (3, 0, 0, 0),
    };
    if slot.kind == 2 {
        material = vec![0; 32];
        Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(65_536, 3, 4, Some(32)).unwrap(),
        )
        .hash_password_into(value, &salt, &mut material)
        .unwrap();
    }
    let context = format!("stash 2026-11-21 slot {secret}");
    let wrapping = derive(&context, &[&material, &salt]);
    let mut both = [0; 64];
    blake3::Hasher::new_keyed(&wrapping).update(b"wrap").finalize_xof().fill(&mut both);
    let (key, check) = both.split_at(32);
    slot.check = check.into();
    let mut secrets = Secrets {
        root: SecretBytes(vec![1; 32]),
        content: SecretBytes(vec![2; 32]),
        header: repository().encode().into(),
        ..Secrets::default()
    };
    change(&mut secrets);
    let exchange =
        StaticSecret::from(derive("stash 2026-11-21 slot exchange", &[&material, &salt]));
    let about = About {
        label: "laptop".into(),
        created: 5,
        exchange: PublicKey::from(&exchange).to_bytes().to_vec().into(),
        ..About::default()
    };
    let about_key = derive("stash 2026-11-21 slot about", &[&[1; 32], &salt]);
    let associated = slot.associated_data();
    slot.wrapped = seal(key, &associated, &cbor::encode(&secrets)).into();
    slot.about = seal(&about_key, &associated, &cbor::encode(&about)).into();
    slot
}

fn seal(key: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = <[u8; 32]>::try_from(key).unwrap();
    ChaCha20Poly1305::new((&key).into())
        .encrypt(&Nonce::default(), Payload { msg: plain, aad: associated })
        .unwrap()
}

pub fn slots(set: &mut Set) {
    let seven = "07".repeat(32);
    let device = || slot("device", &[7; 32], |_| ());
    set.kind("key-slot", &[]);
    let bytes = device().encode();
    set.add("slot-device", "ok", "a device key's slot, not opened", bytes.clone());
    let mut change = |name, expect, why, kind, change: fn(&mut KeySlot)| {
        let mut slot = device();
        if kind == 2 {
            (slot.kind, slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = (2, 65_536, 3, 4);
        }
        change(&mut slot);
        set.add(name, expect, why, slot.encode());
    };
    change("slot-unknown-kind", "unknown", "there are three kinds", 1, |slot| slot.kind = 4);
    change("slot-kind-0", "unknown", "there are three kinds", 1, |slot| slot.kind = 0);
    change("slot-short-salt", "inconsistent", "a salt of 31 bytes", 1, |slot| {
        slot.salt.0.pop();
    });
    change("slot-long-check", "inconsistent", "a check of 33 bytes", 1, |slot| {
        slot.check.0.push(0);
    });
    change("slot-device-with-cost", "inconsistent", "nothing is stretched", 1, |slot| {
        slot.kdf_memory = 65_536;
    });
    change("slot-ceiling", "ok", "the highest cost", 2, |slot| {
        (slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = (4_194_304, 32, 16);
    });
    change("slot-memory-above", "too-long", "more than 4 GiB", 2, |slot| {
        slot.kdf_memory = 4_194_305;
    });
    change("slot-passes-above", "too-long", "more than 32 passes", 2, |slot| slot.kdf_passes = 33);
    change("slot-lanes-above", "too-long", "more than 16 lanes", 2, |slot| slot.kdf_lanes = 17);
    change("slot-memory-below", "inconsistent", "a slot that is cheap to guess", 2, |slot| {
        slot.kdf_memory = 65_535;
    });
    change("slot-passes-below", "inconsistent", "a slot that is cheap to guess", 2, |slot| {
        slot.kdf_passes = 2;
    });
    change("slot-no-lanes", "inconsistent", "Argon2 has at least one lane", 2, |slot| {
        slot.kdf_lanes = 0;
    });
    set.add("slot-epoch", "not-canonical", "nothing vouches for an epoch", with(&bytes, 15, 1));
    set.add("slot-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("slot-other-kind", "bad-magic", "a record in its place", with(&bytes, 5, 4));

    set.kind("open-slot", &[("secret", "device"), ("value", &seven)]);
    set.add("open-device", "ok", "opens with its device key", bytes);
    let mut changed = device();
    changed.wrapped.0[3] ^= 1;
    set.add("open-flipped", "bad-tag", "one bit of the secrets", changed.encode());
    let mut changed = device();
    changed.wrapped.0.truncate(15);
    set.add("open-short", "bad-tag", "less than a tag", changed.encode());
    let mut changed = device();
    changed.extra.push(("z".into(), Value::Integer(1)));
    set.add(
        "open-more-fields",
        "bad-tag",
        "the tag is bound to unknown keys too",
        changed.encode(),
    );
    let mut changed = device();
    changed.salt.0[0] ^= 1;
    set.add("open-other-salt", "wrong-key", "another salt is another key", changed.encode());
    let mut changed = device();
    changed.check.0[0] ^= 1;
    set.add("open-other-check", "wrong-key", "the check is compared first", changed.encode());
    let short = slot("device", &[7; 32], |secrets| {
        secrets.root.0.pop();
    });
    set.add("open-short-root", "bad-tag", "a root secret of 31 bytes", short.encode());
    set.kind("open-slot", &[("secret", "device"), ("value", &"08".repeat(32))]);
    set.add("open-wrong-device", "wrong-key", "another device key", device().encode());
    set.kind("open-slot", &[("secret", "recovery"), ("value", &seven)]);
    set.add("open-wrong-kind", "wrong-key", "the right bits as a recovery code", device().encode());
    let recovery = slot("recovery", &[7; 32], |_| ()).encode();
    set.add("open-recovery", "ok", "opens with the recovery code's bits", recovery);
    set.kind("open-slot", &[("secret", "passphrase"), ("value", "correct horse")]);
    let passphrase = slot("passphrase", b"correct horse", |_| ()).encode();
    set.add("open-passphrase", "ok", "opens with its passphrase", passphrase.clone());
    set.kind("open-slot", &[("secret", "passphrase"), ("value", "Correct horse")]);
    set.add("open-wrong-passphrase", "wrong-key", "one letter differs", passphrase);
    set.kind("open-about", &[]);
    set.add("about", "ok", "what a slot says to those who have the root secret", device().encode());
    let mut changed = device();
    changed.about.0[0] ^= 1;
    set.add("about-flipped", "bad-tag", "one bit of the description", changed.encode());
}

/// What a grant is made of. Slots have ids of one byte, which is also that of their holders' private
/// keys.
struct Granting {
    epoch: u32,
    older: Vec<(u32, Vec<u8>)>,
    holders: Vec<u8>,
    /// Changes what all who have the root secret see, before the older epochs are sealed.
    before: fn(&mut Granted),
    /// And after.
    after: fn(&mut Granted),
}

impl Granting {
    fn new(epoch: u32, older: &[u32]) -> Granting {
        let older = older.iter().map(|epoch| (*epoch, vec![9; 32])).collect();
        Granting { epoch, older, holders: vec![4, 5], before: |_| (), after: |_| () }
    }

    /// Makes the grant as page 2 says, from the primitives alone.
    fn make(&self) -> Grant {
        let (salt, secret) = ([6; 32], [8; 32]);
        let mut grant = Grant { epoch: self.epoch, salt: salt.to_vec().into(), ..Grant::default() };
        let associated = grant.associated_data();
        let own = StaticSecret::from([14; 32]);
        let exchange = PublicKey::from(&own).to_bytes();
        let mut granted = Granted { exchange: exchange.to_vec().into(), ..Granted::default() };
        for holder in &self.holders {
            let theirs = PublicKey::from(&StaticSecret::from([*holder; 32]));
            let shared = own.diffie_hellman(&theirs);
            let parts: [&[u8]; 4] = [shared.as_bytes(), &exchange, theirs.as_bytes(), &salt];
            let key = derive("stash 2026-11-21 grant holder", &parts);
            let slot = [*holder; 32];
            let sealed = seal(&key, &join(&[&associated, &slot]), &secret);
            granted.holders.push((ObjectHash(slot), sealed.into()));
        }
        (self.before)(&mut granted);
        let older = Older {
            epochs: self.older.iter().map(|(n, key)| (*n, SecretBytes(key.clone()))).collect(),
            created: 5,
            ..Older::default()
        };
        let key = derive("stash 2026-11-21 grant older", &[&secret, &salt]);
        let data = join(&[&associated, &cbor::encode(&granted)]);
        granted.older = seal(&key, &data, &cbor::encode(&older)).into();
        (self.after)(&mut granted);
        let key = derive("stash 2026-11-21 grant", &[&[1; 32], &salt]);
        grant.wrapped = seal(&key, &associated, &cbor::encode(&granted)).into();
        grant
    }
}

pub fn grants(set: &mut Set) {
    let grant = || Granting::new(5, &[2]).make();
    let bytes = grant().encode();
    set.kind("grant", &[]);
    set.add("grant", "ok", "a grant of epoch 5, not opened", bytes.clone());
    set.add("grant-epoch-0", "inconsistent", "epoch 0 is the root secret's", {
        Granting::new(0, &[]).make().encode()
    });
    let mut short = grant();
    short.salt.0.pop();
    set.add("grant-short-salt", "inconsistent", "a salt of 31 bytes", short.encode());
    set.add("grant-prefix-epoch", "not-canonical", "nothing vouches for it", with(&bytes, 12, 5));
    set.add("grant-feature", "not-canonical", "it has no features", with(&bytes, 8, 1));
    set.add("grant-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("grant-other-kind", "bad-magic", "a slot in its place", with(&bytes, 5, 2));
    let four = "04".repeat(32);
    let five = "05".repeat(32);
    set.kind("open-grant", &[("slot", &four), ("exchange", &four)]);
    set.add("granted-first", "ok", "the first rotation", Granting::new(5, &[]).make().encode());
    set.add("granted", "ok", "the second: both epochs are known", bytes.clone());
    let mut met = Granting::new(5, &[2, 2]);
    met.older[1].1 = vec![10; 32];
    set.add("granted-same-number", "ok", "two rotations that met by number", met.make().encode());
    let mut changed = grant();
    changed.wrapped.0[3] ^= 1;
    set.add("granted-flipped", "bad-tag", "one bit of what is sealed", changed.encode());
    let mut changed = grant();
    changed.wrapped.0.truncate(15);
    set.add("granted-short", "bad-tag", "less than a tag", changed.encode());
    let mut changed = grant();
    let length = changed.wrapped.0.len();
    changed.wrapped.0.truncate(length - 40);
    set.add("granted-truncated", "bad-tag", "what is sealed ends early", changed.encode());
    let mut changed = grant();
    changed.epoch = 6;
    set.add("granted-other-epoch", "bad-tag", "the tag is bound to the epoch", changed.encode());
    let mut changed = grant();
    changed.extra.push(("z".into(), Value::Integer(1)));
    set.add("granted-more-fields", "bad-tag", "and to unknown keys", changed.encode());
    let mut with_older = |name, expect, why, epoch, older: &[u32]| {
        set.add(name, expect, why, Granting::new(epoch, older).make().encode());
    };
    with_older("granted-unordered", "bad-tag", "epochs ascend", 5, &[3, 2]);
    with_older("granted-twice", "bad-tag", "the same epoch twice", 5, &[2, 2]);
    with_older("granted-zero", "bad-tag", "epoch 0 is the root secret's", 5, &[0, 2]);
    with_older("granted-above", "bad-tag", "older epochs are below its own", 5, &[2, 5]);
    let many: Vec<u32> = (1..=1024).collect();
    with_older("granted-too-many", "too-long", "1,025 epochs", 5_000, &many);
    let mut short = Granting::new(5, &[2]);
    short.older[0].1.pop();
    set.add("granted-short-secret", "bad-tag", "a secret of 31 bytes", short.make().encode());
    grants_altered(set);
    set.kind("open-grant", &[("slot", &"07".repeat(32)), ("exchange", &four)]);
    set.add("granted-to-others", "not-granted", "the slot is not among the holders", bytes.clone());
    set.kind("open-grant", &[("slot", &four), ("exchange", &five)]);
    set.add("granted-wrong-key", "bad-tag", "another slot's private key", bytes);
}

/// Grants whose maker broke a rule, so that everything is sealed as it should be.
fn grants_altered(set: &mut Set) {
    let mut change = |name, expect, why, before: fn(&mut Granted), after: fn(&mut Granted)| {
        let granting = Granting { before, after, ..Granting::new(5, &[2]) };
        set.add(name, expect, why, granting.make().encode());
    };
    change(
        "granted-swapped",
        "bad-tag",
        "a box is bound to its slot",
        |granted| {
            let other = granted.holders[1].1.clone();
            granted.holders[1].1 = std::mem::replace(&mut granted.holders[0].1, other);
        },
        |_| (),
    );
    change(
        "granted-one-more",
        "bad-tag",
        "a holder whom nobody vouches for",
        |_| (),
        |granted| {
            granted.holders.push((ObjectHash([6; 32]), vec![0; 48].into()));
        },
    );
    change(
        "granted-holders-unordered",
        "bad-tag",
        "slots ascend",
        |granted| {
            granted.holders.reverse();
        },
        |_| (),
    );
    change(
        "granted-holder-twice",
        "bad-tag",
        "a slot comes once",
        |granted| {
            granted.holders[1].0 = ObjectHash([4; 32]);
        },
        |_| (),
    );
    change(
        "granted-too-many-holders",
        "too-long",
        "65 slots",
        |granted| {
            for byte in 6..69 {
                granted.holders.push((ObjectHash([byte; 32]), vec![0; 48].into()));
            }
        },
        |_| (),
    );
    change(
        "granted-short-exchange",
        "bad-tag",
        "a public key of 31 bytes",
        |granted| {
            granted.exchange.0.pop();
        },
        |_| (),
    );
    change(
        "granted-null-exchange",
        "wrong-key",
        "a public key that gives zeros",
        |granted| {
            granted.exchange = vec![0; 32].into();
        },
        |_| (),
    );
}
