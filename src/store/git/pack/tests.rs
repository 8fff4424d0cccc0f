use super::*;

#[test]
fn a_pack_comes_back_and_one_that_is_cut_or_changed_does_not() {
    let object = |kind, bytes: Vec<u8>| NewObject::new(kind, vec![bytes.into()]);
    let objects = [
        object(Kind::Blob, vec![1; 5]),
        object(Kind::Blob, vec![7; 300_000]),
        object(Kind::Blob, Vec::new()),
        object(Kind::Tree, vec![]),
    ];
    let mut pack = Vec::new();
    write_pack(&mut pack, &objects);
    let received = || {
        let mut received = Received::new(None);
        received.ask(&objects.each_ref().map(|object| object.oid));
        received
    };
    let mut all = received();
    read_pack(&pack[..], &mut all).unwrap();
    for object in &objects {
        let bytes = all.bytes(&object.oid, object.kind).unwrap();
        assert_eq!(bytes, object.parts.concat());
    }
    for cut in [0, 11, 30, pack.len() - 1] {
        assert!(read_pack(&pack[..cut], &mut received()).is_err());
    }
    for at in (0..pack.len()).step_by(997).chain([pack.len() - 1]) {
        let mut pack = pack.clone();
        pack[at] ^= 1;
        assert!(read_pack(&pack[..], &mut Received::new(None)).is_err(), "{at}");
    }
}

/// Returns a pack of differences from bases by their ids.
fn differences(deltas: &[(Oid, Vec<u8>)], whole: &[NewObject]) -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend(u32::try_from(deltas.len() + whole.len()).unwrap().to_be_bytes());
    for (base, delta) in deltas {
        let mut length = delta.len() >> 4;
        let mut byte = ID_DELTA << 4 | u8::try_from(delta.len() & 15).unwrap();
        while length > 0 {
            pack.push(byte | 0x80);
            byte = u8::try_from(length & 127).unwrap();
            length >>= 7;
        }
        pack.push(byte);
        pack.extend(base.0);
        pack = deflate(pack, &NewObject::new(Kind::Tree, vec![delta.clone().into()]));
    }
    let mut own = Vec::new();
    write_pack(&mut own, whole);
    pack.extend(&own[12..own.len() - 20]);
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(&pack);
    pack.extend(finish(context).0);
    pack
}

#[test]
fn what_comes_before_its_base_waits_for_it_and_not_without_bounds() {
    let base = NewObject::new(Kind::Tree, vec!["hello world".into()]);
    let first = NewObject::new(Kind::Tree, vec!["world!".into()]);
    let second = NewObject::new(Kind::Tree, vec!["world!?".into()]);
    let to_first = vec![11, 6, 0x91, 6, 5, 1, b'!'];
    let to_second = vec![6, 7, 0x90, 6, 1, b'?'];
    let none = (Oid([9; 20]), vec![1, 1, 0x90, 1]);
    let pack = differences(&[none, (first.oid, to_second), (base.oid, to_first)], &[base]);
    let mut received = Received::new(None);
    read_pack(&pack[..], &mut received).unwrap();
    assert_eq!(received.bytes(&first.oid, Kind::Tree).unwrap(), "world!");
    assert_eq!(received.bytes(&second.oid, Kind::Tree).unwrap(), "world!?");
    let waiting = |count| vec![(Oid([9; 20]), vec![0; 1 << 20]); count];
    read_pack(&differences(&waiting(60), &[])[..], &mut Received::new(None)).unwrap();
    let pack = differences(&waiting(70), &[]);
    assert!(read_pack(&pack[..], &mut Received::new(None)).is_err());
}

#[test]
fn differences_copy_and_insert_and_never_reach_beyond_their_base() {
    let base = Bytes::from_static(b"hello world");
    let delta = [11, 9, 0x91, 6, 5, 4, b'!', b'a', b'b', b'c'];
    assert_eq!(apply_delta(&base, &delta).unwrap(), b"world!abc");
    for bad in [
        &[10, 9, 0x91, 6, 5][..],
        &[11, 9, 0x91, 7, 5, 4],
        &[11, 2, 0x91, 6, 5],
        &[11, 5, 0],
        &[11],
        &[0xff; 12],
    ] {
        assert!(apply_delta(&base, bad).is_none(), "{bad:?}");
    }
}
