//! Rotating the keys: all who keep theirs go on, who is left out reads nothing that comes later, and
//! whatever dies half-way leaves a repository that every holder opens.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
#[path = "rotation/scene.rs"]
mod scene;

#[path = "rotation/reseal.rs"]
mod reseal;

use std::sync::Arc;

use common_engine::noise;
use common_engine::stores::{Fault, TestStore};
use scene::{Scene, device, passphrase, recovery};
use stash::codec::CodecError;
use stash::codec::crypto::{Epochs, OpenGrant, Recipient, make_grant, public_key};
use stash::engine::check::{CheckOptions, check};
use stash::error::Kind;
use stash::event::Counters;
use stash::format::key::KeySlot;
use stash::format::object::ObjectKind;
use stash::id::ObjectHash;
use stash::repository::container::{OpenError, open_whole};
use stash::store::ObjectName;

#[test]
fn every_holder_goes_on_after_a_rotation_without_doing_anything() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    scene.save("b").unwrap();
    let b_under_way = scene.open("b").unwrap();
    let newest = scene.rotate("a", &[]).unwrap().epoch;
    scene.save("a").unwrap();
    // One that was open meanwhile notices at its next sync, and seals under the new epoch as well.
    scene.save_by("b", &b_under_way).unwrap();
    drop(b_under_way);
    scene.save("b").unwrap();
    let last = scene.newest_records(3);
    assert!(last.iter().all(|(_, epoch)| *epoch == newest), "{last:?}");
    scene.assert_restores(&[device(1), device(2), passphrase(), recovery()]);
    // A key that is made now opens what came before and after.
    let a = scene.open("a").unwrap();
    a.add_key(&device(7), "new", None, scene.now()).unwrap();
    scene.assert_restores(&[device(7)]);
    assert!(a.key_slots().unwrap().iter().all(|slot| !slot.left_out));
}

#[test]
fn who_is_left_out_reads_nothing_that_comes_later_and_is_told_why() {
    let mut scene = Scene::new();
    let before = scene.save("a").unwrap();
    let thief = scene.open("b").unwrap();
    let (old_keys, master) = (scene.keys_of(&device(2)), scene.master_of(&device(2)));
    let (slot, exchange) = scene.exchange_of(&device(2));
    let old: Vec<ObjectName> = scene.objects();
    scene.rotate("a", &[scene.slot_of("b")]).unwrap();
    scene.save("a").unwrap();
    let new: Vec<ObjectName> =
        scene.objects().into_iter().filter(|name| !old.contains(name)).collect();
    assert!(new.iter().any(|name| matches!(name, ObjectName::Pack(_))), "{new:?}");
    for name in &new {
        let kind = match name {
            ObjectName::Pack(_) => ObjectKind::Pack,
            ObjectName::Record(_) => ObjectKind::Record,
            ObjectName::Segment(_) => ObjectKind::Segment,
            _ => continue,
        };
        let bytes = scene.store.get(name).unwrap().unwrap();
        let opened = open_whole(&old_keys, kind, &name.hash(), &bytes).err();
        let is_shut = matches!(opened, Some(OpenError::Codec(CodecError::UnknownEpoch(_))));
        assert!(is_shut, "{name}: {opened:?}");
    }
    // Nor does the grant, which the root secret opens as far as it goes, hold anything for him.
    for (_, grant) in scene.grants() {
        let open = OpenGrant::open(&master, grant).unwrap();
        assert!(open.take(&slot, &exchange).unwrap().is_none());
        assert!(open.vouched(&Epochs::default()).is_none());
    }
    let error = thief.sync().unwrap_err();
    assert_eq!(error.kind(), Kind::WrongPassphrase);
    assert!(error.to_string().contains("this key was removed"), "{error}");
    assert!(error.hint_text().unwrap().contains("`stash key add`"), "{error}");
    assert_eq!(scene.open("b").err().unwrap().kind(), Kind::WrongPassphrase);
    // What was his stays readable to him, and nobody says otherwise.
    let bytes = scene.store.get(&before).unwrap().unwrap();
    assert!(open_whole(&old_keys, ObjectKind::Record, &before.hash(), &bytes).is_ok());
    scene.assert_restores(&[device(1), passphrase(), recovery()]);
}

#[test]
fn a_slot_that_could_not_be_removed_is_not_let_in_again() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    let slot = scene.slot_of("b");
    let bytes = scene.store.get(&ObjectName::KeySlot(slot)).unwrap().unwrap();
    scene.rotate("a", &[slot]).unwrap();
    // As where credentials may only add.
    scene.store.put(ObjectName::KeySlot(slot), &[bytes]).unwrap();
    let error = scene.open("b").err().unwrap();
    assert_eq!(error.kind(), Kind::WrongPassphrase);
    assert!(error.hint_text().unwrap().contains("left out"), "{error}: {:?}", error.hint_text());
    let a = scene.open("a").unwrap();
    let listed = a.key_slots().unwrap();
    assert!(listed.iter().all(|entry| entry.left_out == (entry.id == slot)), "{listed:?}");
    let plan = a.plan_rotation(&[]).unwrap();
    assert_eq!(plan.left_out.iter().map(|entry| entry.id).collect::<Vec<_>>(), [slot]);
    a.rotate(&plan, scene.now()).unwrap();
    assert!(a.key_slots().unwrap().iter().all(|entry| entry.id != slot));
}

#[test]
fn rotations_follow_each_other_and_leave_two_grants() {
    let mut scene = Scene::new();
    let mut epochs = vec![0];
    for _ in 0..4 {
        scene.save("a").unwrap();
        epochs.push(scene.rotate("a", &[]).unwrap().epoch);
        scene.save("b").unwrap();
    }
    assert!(epochs.is_sorted() && epochs.windows(2).all(|pair| pair[0] != pair[1]), "{epochs:?}");
    let grants = scene.grants();
    assert_eq!(grants.len(), 2);
    assert!(grants.iter().all(|(_, grant)| grant.epoch == epochs[4]));
    assert_ne!(grants[0].1.salt, grants[1].1.salt);
    scene.assert_restores(&[device(1), device(2), passphrase(), recovery()]);
    let report =
        check(&scene.open("a").unwrap(), &CheckOptions::default(), &Counters::default()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn one_of_the_two_grants_may_be_lost() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Harm); 4] = [
        ("missing", Vec::clear),
        ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
        ("one bit", |bytes| bytes[60] ^= 1),
        ("a slot in its place", |bytes| bytes[5] = 2),
    ];
    for (what, harm) in harms {
        for which in 0..2 {
            let mut scene = Scene::of_devices();
            scene.rotate("a", &[]).unwrap();
            scene.save("a").unwrap();
            let (name, grant) = scene.grants()[which].clone();
            let mut bytes = grant.encode();
            harm(&mut bytes);
            scene.store.delete_grant(&name.hash()).unwrap();
            if !bytes.is_empty() {
                scene.store.put(name, &[bytes.into()]).unwrap();
            }
            scene.save("b").unwrap();
            scene.assert_restores(&[device(1), device(2), recovery()]);
            let a = scene.open("a").unwrap();
            let options = CheckOptions::default();
            let report = check(&a, &options, &Counters::default()).unwrap();
            let findings: Vec<_> =
                report.findings.iter().map(|finding| format!("{:?}", finding.kind)).collect();
            let expected: &[&str] = if what == "missing" { &[] } else { &["GrantDamaged"] };
            assert_eq!(findings, expected, "{what}");
            scene.rotate("a", &[]).unwrap();
            assert_eq!(scene.grants().len(), 2, "{what}: a rotation mends it");
            scene.save("b").unwrap();
        }
    }
}

/// After each failure every holder opens the repository, saves, and reads what the others saved; and
/// the rotation can be done again.
#[test]
fn a_rotation_that_fails_at_any_store_call_shuts_nobody_out() {
    let mut tried = 0;
    for fault in [Fault::Fail, Fault::LostReply, Fault::Repeat, Fault::Truncate, Fault::ShortList] {
        for fatal in 1.. {
            let mut scene = Scene::of_devices();
            scene.save("a").unwrap();
            scene.save("b").unwrap();
            let broken = TestStore::new(Arc::clone(&scene.inner) as _, fault, fatal);
            let outcome = scene.rotate_over("a", &broken.store(), &[scene.slot_of("c")]);
            let has_failed = broken.has_failed();
            tried += u32::from(has_failed);
            if !has_failed {
                assert!(outcome.is_ok(), "{fault:?}: {:?}", outcome.err());
                break;
            }
            // A listing that says less than there is may leave a holder out: that is shown before it
            // is agreed to, and is what this scene agrees to.
            let lied = fault == Fault::ShortList;
            for name in ["b", "a", "b"] {
                let saved = scene.save(name);
                assert!(lied || saved.is_ok(), "{fault:?} {fatal} {name}: {:?}", saved.err());
            }
            if lied {
                continue;
            }
            scene.rotate("b", &[]).unwrap_or_else(|error| panic!("{fault:?} {fatal}: {error}"));
            scene.save("a").unwrap();
            scene.save("b").unwrap();
            scene.assert_restores(&[device(1), device(2), recovery()]);
        }
    }
    assert!(tried > 40, "only {tried} moments were tried");
}

#[test]
fn two_rotations_at_once_are_joined() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    scene.save("b").unwrap();
    let between = TestStore::recording(Arc::clone(&scene.inner) as _);
    let other = scene.other_rotation("b");
    between.before_put("keys/grant-", move || {
        other();
    });
    let newest = scene.rotate_over("a", &between.store(), &[]).unwrap().epoch;
    for name in ["b", "a", "b"] {
        scene.save(name).unwrap();
    }
    let last = scene.newest_records(2);
    assert!(last.iter().all(|(_, epoch)| *epoch == newest), "{last:?}");
    scene.assert_restores(&[device(1), device(2), passphrase(), recovery()]);
}

/// Of two rotations at once, one leaves somebody out whom the other knows nothing of.
#[test]
fn a_rotation_at_once_does_not_let_in_whom_the_other_leaves_out() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    scene.save("c").unwrap();
    let left_out = scene.keys_of(&device(3));
    let between = TestStore::recording(Arc::clone(&scene.inner) as _);
    let other = scene.other_rotation_without("b", "c");
    between.before_put("keys/grant-", move || {
        other();
    });
    let error = scene.rotate_over("a", &between.store(), &[]).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    // Nobody seals anything that the one left out could read.
    let error = scene.save("a").unwrap_err();
    assert!(error.to_string().contains("two rotations of the keys met"), "{error}");
    scene.assert_restores(&[device(1), device(2), passphrase(), recovery()]);
    scene.rotate("a", &[]).unwrap();
    let saved = scene.save("b").unwrap();
    let bytes = scene.store.get(&saved).unwrap().unwrap();
    let opened = open_whole(&left_out, ObjectKind::Record, &saved.hash(), &bytes);
    let failure = opened.err();
    assert!(matches!(failure, Some(OpenError::Codec(CodecError::UnknownEpoch(_)))), "{failure:?}");
    scene.assert_restores(&[device(1), device(2), passphrase(), recovery()]);
}

/// Who was left out knows the root secret, and may still reach the store.
#[test]
fn a_grant_forged_by_one_who_was_left_out_makes_nobody_seal_under_it() {
    for has_seen in [true, false] {
        let mut scene = Scene::of_devices();
        scene.save("a").unwrap();
        let (master, keys) = (scene.master_of(&device(2)), scene.keys_of(&device(2)));
        let recipients: Vec<Recipient> = [device(1), recovery()]
            .iter()
            .map(|secret| {
                let (slot, exchange) = scene.exchange_of(secret);
                Recipient { slot, exchange: public_key(&exchange) }
            })
            .collect();
        scene.rotate("a", &[scene.slot_of("b")]).unwrap();
        scene.save("a").unwrap();
        let mut forged = Epochs::default().draw().unwrap();
        while forged.newest() <= scene.grants()[0].1.epoch {
            forged = forged.into_epochs().draw().unwrap();
        }
        let grant = make_grant(&master, &forged, &recipients, 9).unwrap();
        let name = ObjectName::Grant(ObjectHash(*blake3::hash(&grant.encode()).as_bytes()));
        scene.store.put(name.clone(), &[grant.encode().into()]).unwrap();
        if has_seen {
            // Even if he could delete the true ones.
            for (name, grant) in scene.grants() {
                if grant.epoch != forged.newest() {
                    scene.store.delete_grant(&name.hash()).unwrap();
                }
            }
        }
        let repository = if has_seen {
            scene.open("a")
        } else {
            scene.open_in(tempfile::tempdir().unwrap().path(), &recovery())
        };
        match repository {
            Ok(repository) => {
                let error = scene.save_by("a", &repository).unwrap_err();
                assert!(error.to_string().contains("cannot save anything"), "{error}");
            }
            // It can't read what was sealed under the true epoch, whose grants are gone.
            Err(error) => assert!(has_seen && error.kind() == Kind::WrongPassphrase, "{error}"),
        }
        if !has_seen {
            scene.rotate("a", &[]).unwrap();
            scene.save("a").unwrap();
            keys.learn(&forged.into_epochs());
            let (record, _) = scene.newest_records(1).remove(0);
            let bytes = scene.store.get(&record).unwrap().unwrap();
            assert!(open_whole(&keys, ObjectKind::Record, &record.hash(), &bytes).is_err());
            scene.assert_restores(&[device(1), recovery()]);
        }
    }
}

#[test]
fn a_machine_seals_nothing_under_an_older_epoch_than_it_has_known() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    let before: Vec<(ObjectName, _)> = scene
        .objects()
        .into_iter()
        .map(|name| (name.clone(), scene.store.get(&name).unwrap().unwrap()))
        .collect();
    scene.rotate("a", &[]).unwrap();
    // The store is set back to what it was.
    scene.reset(&before);
    let error = scene.save("a").unwrap_err();
    assert!(error.to_string().contains("gone from the store"), "{error}");
    assert!(error.hint_text().unwrap().contains("`stash key rotate`"), "{error}");
    scene.rotate("a", &[]).unwrap();
    scene.save("a").unwrap();
    scene.assert_restores(&[device(1), device(2)]);
}

#[test]
fn a_slot_to_which_nothing_can_be_granted_is_named_and_can_be_left_out() {
    let mut scene = Scene::new();
    scene.save("a").unwrap();
    let a = scene.open("a").unwrap();
    let slot = scene.slot_of("b");
    let name = ObjectName::KeySlot(slot);
    let mut bytes = scene.store.get(&name).unwrap().unwrap().to_vec();
    let mut other = KeySlot::decode(&bytes).unwrap();
    other.about.0[0] ^= 1;
    let changed = other.encode();
    let foreign = ObjectHash(*blake3::hash(&changed).as_bytes());
    scene.store.put(ObjectName::KeySlot(foreign), &[changed.into()]).unwrap();
    let error = a.plan_rotation(&[]).unwrap_err();
    assert!(error.to_string().contains(&foreign.short()), "{error}");
    assert!(error.hint_text().unwrap().contains("--without"), "{error}");
    bytes.truncate(40);
    scene.store.delete_key_slot(&slot).unwrap();
    scene.store.put(name, &[bytes.into()]).unwrap();
    let error = a.plan_rotation(&[foreign]).unwrap_err();
    assert!(error.to_string().contains(&slot.short()), "{error}");
    let plan = a.plan_rotation(&[foreign, slot]).unwrap();
    a.rotate(&plan, scene.now()).unwrap();
    let ids = a.key_slot_ids().unwrap();
    assert!(!ids.contains(&slot) && !ids.contains(&foreign));
    let own = a.plan_rotation(&[scene.slot_of("a")]).unwrap_err();
    assert_eq!(own.kind(), Kind::Usage, "{own}");
    scene.save("a").unwrap();
}

/// Nothing that was not granted may be guessed from what is: the rest of the format stays as it is.
#[test]
fn ids_and_cuts_stay_so_that_nothing_is_stored_twice() {
    let mut scene = Scene::new();
    for number in 0..4 {
        scene.put("a", &format!("file{number}"), noise(number, 900_000));
    }
    scene.save("a").unwrap();
    let before = scene.stored_bytes();
    scene.rotate("a", &[]).unwrap();
    scene.put("b", "copy", noise(1, 900_000));
    scene.save("b").unwrap();
    // Each save brings 400,000 bytes of its own.
    assert!(scene.stored_bytes() < before + 420_000, "{} and {before}", scene.stored_bytes());
}
