//! Round trips of arbitrary values, and arbitrary bytes: an error at worst, never a panic, never a large allocation.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    ALIGN, CHECKED, Codec, In, Json, Level, Out, POD, SERDE, SliceCodec, Stop, VEC, align_up, bulk,
    message, slice,
};
use crate::ErrorKind;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(f64),
    Square { side: u32, name: Option<String> },
    Many(Vec<Shape>),
    Pair(Box<Shape>, Box<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Empty),
        (-1e9..1e9).prop_map(Shape::Circle),
        (any::<u32>(), any::<Option<String>>())
            .prop_map(|(side, name)| Shape::Square { side, name }),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Shape::Many),
            (inner.clone(), inner).prop_map(|(a, b)| Shape::Pair(Box::new(a), Box::new(b))),
        ]
    })
}

/// Encodes into aligned room of exactly the size that was asked for, and checks that less room is `Full`.
fn bytes<T, L: Codec<T>>(value: &T) -> Vec<u8> {
    let size = L::size(value).unwrap();
    let mut room = vec![0; size];
    let mut out = Out::new(&mut room);
    L::encode(value, &mut out).unwrap();
    let written = out.written().to_vec();
    if !written.is_empty() {
        let mut less = vec![0; written.len() - 1];
        assert!(matches!(L::encode(value, &mut Out::new(&mut less)), Err(Stop::Full)));
    }
    written
}

fn back<T, L: Codec<T>>(bytes: &[u8]) -> Result<T, crate::Error> {
    let mut input = In::new(bytes);
    crate::task::whole(L::decode(&mut input)?, input)
}

fn round<T: PartialEq + std::fmt::Debug, L: Codec<T>>(value: &T) {
    let bytes = bytes::<T, L>(value);
    assert_eq!(&back::<T, L>(&bytes).unwrap(), value);
    if L::STRIDE.is_none() {
        for cut in 0..bytes.len().min(64) {
            // A shorter encoding may be another value's, but never reads behind its end.
            let _ = back::<T, L>(&bytes[..cut]);
        }
    } else {
        assert_eq!(L::STRIDE, Some(bytes.len()));
    }
}

fn serde_round<T: PartialEq + std::fmt::Debug + Serialize + DeserializeOwned>(value: &T) {
    round::<T, Level<SERDE>>(value);
}

proptest! {
    #[test]
    fn values_come_back(
        shape in shape(),
        map in any::<BTreeMap<String, (i8, u16, i32, u64, i128, char, bool)>>(),
        nested in any::<Vec<Option<Result<String, ()>>>>(),
        time in any::<(Duration, SystemTime)>(),
        path in any::<std::path::PathBuf>(),
    ) {
        serde_round(&shape);
        serde_round(&map);
        serde_round(&nested);
        serde_round(&time.0);
        // A path that is no UTF-8 is refused on the way in.
        if path.to_str().is_some() {
            serde_round(&path);
        }
    }

    #[test]
    fn plain_numbers_come_back(a in any::<u64>(), b in any::<[i16; 3]>(), v in any::<Vec<u32>>(), c in any::<char>(), d in any::<bool>()) {
        round::<_, Level<POD>>(&a);
        round::<_, Level<POD>>(&b);
        round::<_, Level<POD>>(&());
        round::<_, Level<VEC>>(&v);
        round::<_, Level<VEC>>(&vec![(); v.len()]);
        round::<_, Level<CHECKED>>(&c);
        round::<_, Level<CHECKED>>(&d);
    }

    #[test]
    fn vectors_of_numbers_come_back_as_bytes(raw in prop::collection::vec(any::<u128>(), 0..6)) {
        macro_rules! each {
            ($($number:ty)*) => {$(
                bulk_round(&raw.iter().map(|&x| x as $number).collect::<Vec<_>>());
            )*};
        }
        each!(u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_at_worst(bytes in any::<Vec<u8>>()) {
        let _ = back::<Shape, Level<SERDE>>(&bytes);
        let _ = back::<HashMap<String, Vec<Shape>>, Level<SERDE>>(&bytes);
        let _ = back::<Vec<(char, Option<String>, bool)>, Level<SERDE>>(&bytes);
        let _ = back::<Json<Vec<u8>>, Level<SERDE>>(&bytes);
        let _ = back::<Vec<f64>, Level<VEC>>(&bytes);
        let _ = back::<Vec<()>, Level<VEC>>(&bytes);
        let _ = back::<char, Level<CHECKED>>(&bytes);
        let _ = back::<u128, Level<POD>>(&bytes);
        let _ = <Level<POD> as SliceCodec<u64>>::read(&mut In::new(&bytes));
        let _ = <Level<POD> as SliceCodec<()>>::read(&mut In::new(&bytes));
        let _ = <Level<SERDE> as SliceCodec<String>>::read(&mut In::new(&bytes)).map(|held| held.len());
    }

    #[test]
    fn slices_come_back(values in any::<Vec<u64>>(), texts in any::<Vec<String>>(), before in 0_usize..40) {
        slice_round::<u64, Level<POD>>(&values, before);
        slice_round::<(), Level<POD>>(&vec![(); values.len()], before);
        slice_round::<String, Level<SERDE>>(&texts, before);
        slice_round::<Vec<u64>, Level<VEC>>(&[values], before);
    }
}

/// Elements that serde sees one by one; a struct around them adds no bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OneByOne<T>(Vec<T>);

fn bulk_round<T>(values: &Vec<T>)
where
    T: bytemuck::Pod + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned,
{
    assert!(bulk::parts(values).is_some());
    serde_round(values);
    let written = bytes::<_, Level<SERDE>>(values);
    assert_eq!(written, bytes::<_, Level<VEC>>(values));
    assert_eq!(written, bytes::<_, Level<SERDE>>(&OneByOne(values.clone())));
    assert_eq!(back::<OneByOne<T>, Level<SERDE>>(&written).unwrap().0, *values);
    let mut told = vec![1];
    message::encode(values, &mut told).unwrap();
    // Behind one byte no element is aligned.
    let mut input = In::new(&told);
    input.take(1).unwrap();
    assert_eq!(&bulk::decode::<Vec<T>>(&mut input).unwrap().unwrap(), values);
    assert_eq!(&message::decode::<Vec<T>>(&told[1..]).unwrap(), values);
    wrong_counts_are_refused::<T>(values.len() as u64, &written);
    if values.len() > 1 {
        goes_in_one_piece(values, &written);
    }
}

/// Where there is too little room, serde would write and read all elements but the last.
fn goes_in_one_piece<T: Serialize + DeserializeOwned>(values: &Vec<T>, written: &[u8]) {
    let mut room = vec![0; written.len() - 1];
    let mut out = Out::new(&mut room);
    assert!(matches!(<Level<SERDE> as Codec<_>>::encode(values, &mut out), Err(Stop::Full)));
    assert_eq!(out.position(), 8);
    let error = back::<Vec<T>, Level<SERDE>>(&written[..written.len() - 1]).err().unwrap();
    let wanted = format!("{} bytes were expected", size_of_val(&values[..]));
    assert!(error.to_string().contains(&wanted), "{error}");
}

fn wrong_counts_are_refused<T: Serialize + DeserializeOwned>(count: u64, written: &[u8]) {
    let refused = |bytes: &[u8]| {
        let error = back::<Vec<T>, Level<SERDE>>(bytes).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Decode);
    };
    (0..written.len()).for_each(|cut| refused(&written[..cut]));
    for wrong in [count + 1, count.wrapping_sub(1), count + (1 << 60), 1 << 40, u64::MAX] {
        refused(&[&wrong.to_le_bytes(), &written[8..]].concat());
    }
}

#[test]
fn other_types_are_left_to_serde() {
    let number = 5_u8;
    let text = String::from("a");
    assert!(bulk::parts(&vec![&number]).is_none());
    assert!(bulk::parts(&vec![true]).is_none());
    assert!(bulk::parts(&text).is_none());
    assert!(bulk::parts(text.as_str()).is_none());
    assert!(bulk::parts(&[0_u64; 3]).is_none());
    assert!(bulk::decode::<String>(&mut In::new(&[0; 16])).is_none());
    assert!(bulk::decode::<Vec<char>>(&mut In::new(&[0; 16])).is_none());
}

/// The slice stands behind `before` other bytes of the item.
fn slice_round<T: PartialEq + std::fmt::Debug + 'static, L: SliceCodec<T>>(
    values: &[T],
    before: usize,
) {
    let size = before + L::size(values).unwrap();
    let mut room = vec![0_u128; align_up(size) / ALIGN];
    let mut out = Out::new(bytemuck::cast_slice_mut(&mut room));
    out.reserve(before).unwrap();
    L::encode(values, &mut out).unwrap();
    let mut input = In::new(out.written());
    input.take(before).unwrap();
    let held = L::read(&mut input).unwrap();
    assert_eq!(held.as_ref(), values);
    assert!(input.is_empty());
}

#[test]
fn forged_lengths_are_refused_at_once() {
    let forged = |len: u64| len.to_le_bytes().repeat(3);
    for len in [1 << 20, 1 << 40, u64::MAX / 2, u64::MAX] {
        let bytes = forged(len);
        assert!(back::<String, Level<SERDE>>(&bytes).is_err());
        assert!(back::<Vec<u8>, Level<SERDE>>(&bytes).is_err());
        assert!(back::<HashMap<u8, u8>, Level<SERDE>>(&bytes).is_err());
        assert!(back::<Vec<u64>, Level<VEC>>(&bytes).is_err());
        assert!(
            <Level<POD> as SliceCodec<u64>>::read(&mut In::new(&[&[0; 8][..], &bytes].concat()))
                .is_err()
        );
    }
    let endless = u64::MAX.to_le_bytes();
    assert!(back::<Vec<()>, Level<SERDE>>(&endless).is_err());
}

#[test]
fn forged_nesting_is_refused() {
    #[derive(Debug, Deserialize, Serialize)]
    struct Chain(Option<Box<Chain>>);
    assert!(back::<Chain, Level<SERDE>>(&vec![1; 1 << 20]).is_err());
    assert!(back::<Chain, Level<SERDE>>(&[&[1; 400][..], &[0]].concat()).is_ok());
}

#[test]
fn a_part_is_no_inline_slice_and_the_other_way_round() {
    let bytes = [slice::PART.to_le_bytes(), [0; 8], [0; 8], [0; 8], [0; 8]].concat();
    let error = <Level<POD> as SliceCodec<u64>>::read(&mut In::new(&bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = <Level<SERDE> as SliceCodec<String>>::read(&mut In::new(&bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    let bytes = [0; 32];
    assert_eq!(
        crate::task::part::slice_mut::<u64>(&mut In::new(&bytes)).unwrap_err().kind(),
        ErrorKind::Decode
    );
}

#[test]
fn self_describing_formats_fail_with_advice() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u64),
        Text(String),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, u64>,
    }
    let written = bytes::<Untagged, Level<SERDE>>(&Untagged::Number(1));
    let error = back::<Untagged, Level<SERDE>>(&written).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("Json<T>"), "{error}");
    let flat = Flat { rest: BTreeMap::from([("a".to_owned(), 1)]) };
    let error = <Level<SERDE> as Codec<Flat>>::size(&flat).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("Json<T>"), "{error}");
    serde_round(&Json(flat));
    serde_round(&Json(Untagged::Text("a".to_owned())));
}
