//! Values to bytes and back: the Rust side of `wire.py`. Trusted; linked into every batch under a name that candidates
//! can't guess. Arguments are leaked on purpose, so that a `&[&str]` decodes like any other type: the process that decodes
//! them lives for one call.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// The bytes of one call's arguments, read from the front.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, tail) = self.0.split_at(N);
        self.0 = tail;
        head.try_into().unwrap()
    }

    fn length(&mut self) -> usize {
        u32::from_le_bytes(self.take()) as usize
    }
}

/// A parameter of a candidate's function.
pub trait Decode: Sized {
    fn decode(input: &mut Input<'_>) -> Self;
}

/// What a candidate's function returns.
pub trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Decode for $number {
            fn decode(input: &mut Input<'_>) -> Self { <$number>::from_le_bytes(input.take()) }
        }
        impl Encode for $number {
            fn encode(&self, out: &mut Vec<u8>) { out.extend_from_slice(&self.to_le_bytes()) }
        }
    )*};
}
numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);

impl Decode for bool {
    fn decode(input: &mut Input<'_>) -> Self { u8::decode(input) != 0 }
}
impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) { out.push(*self as u8) }
}

impl Decode for char {
    fn decode(input: &mut Input<'_>) -> Self { char::from_u32(u32::decode(input)).unwrap() }
}
impl Encode for char {
    fn encode(&self, out: &mut Vec<u8>) { (*self as u32).encode(out) }
}

impl Decode for Ordering {
    fn decode(input: &mut Input<'_>) -> Self { i8::decode(input).cmp(&0) }
}
impl Encode for Ordering {
    fn encode(&self, out: &mut Vec<u8>) { (*self as i8).encode(out) }
}

impl Decode for String {
    fn decode(input: &mut Input<'_>) -> Self {
        let length = input.length();
        let (head, tail) = input.0.split_at(length);
        input.0 = tail;
        String::from_utf8(head.to_vec()).unwrap()
    }
}
impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}
impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) { self.as_str().encode(out) }
}

impl Decode for &'static str {
    fn decode(input: &mut Input<'_>) -> Self { String::decode(input).leak() }
}
impl<T: Decode> Decode for &'static [T] {
    fn decode(input: &mut Input<'_>) -> Self { Vec::decode(input).leak() }
}
impl<T: Decode> Decode for &'static T {
    fn decode(input: &mut Input<'_>) -> Self { Box::leak(Box::new(T::decode(input))) }
}
impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Vec<u8>) { (**self).encode(out) }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(input: &mut Input<'_>) -> Self { Box::new(T::decode(input)) }
}
impl<T: Encode + ?Sized> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) { (**self).encode(out) }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(input: &mut Input<'_>) -> Self {
        if bool::decode(input) { Some(T::decode(input)) } else { None }
    }
}
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.is_some() as u8);
        if let Some(value) = self { value.encode(out) }
    }
}

impl<T: Decode, E: Decode> Decode for Result<T, E> {
    fn decode(input: &mut Input<'_>) -> Self {
        if bool::decode(input) { Err(E::decode(input)) } else { Ok(T::decode(input)) }
    }
}
impl<T: Encode, E: Encode> Encode for Result<T, E> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.is_err() as u8);
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }
}

impl<T: Decode, const N: usize> Decode for [T; N] {
    fn decode(input: &mut Input<'_>) -> Self { Vec::decode(input).try_into().ok().unwrap() }
}
impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, out: &mut Vec<u8>) { self.as_slice().encode(out) }
}
impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for item in self { item.encode(out) }
    }
}
impl<T: Decode> Decode for Vec<T> {
    fn decode(input: &mut Input<'_>) -> Self {
        let length = input.length();
        let mut items = Vec::with_capacity(length);
        for _ in 0..length { items.push(T::decode(input)) }
        items
    }
}
impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) { self.as_slice().encode(out) }
}

macro_rules! collections {
    ($($collection:ident [$($bound:path),*])*) => {$(
        impl<T: Decode $(+ $bound)*> Decode for $collection<T> {
            fn decode(input: &mut Input<'_>) -> Self { Vec::decode(input).into_iter().collect() }
        }
        impl<T: Encode> Encode for $collection<T> {
            fn encode(&self, out: &mut Vec<u8>) {
                put_length(self.len(), out);
                for item in self { item.encode(out) }
            }
        }
    )*};
}
collections!(VecDeque [] HashSet [Eq, Hash] BTreeSet [Ord]);

macro_rules! maps {
    ($($map:ident [$($bound:path),*])*) => {$(
        impl<K: Decode $(+ $bound)*, V: Decode> Decode for $map<K, V> {
            fn decode(input: &mut Input<'_>) -> Self { Vec::<(K, V)>::decode(input).into_iter().collect() }
        }
        impl<K: Encode, V: Encode> Encode for $map<K, V> {
            fn encode(&self, out: &mut Vec<u8>) {
                put_length(self.len(), out);
                for (key, value) in self { key.encode(out); value.encode(out) }
            }
        }
    )*};
}
maps!(HashMap [Eq, Hash] BTreeMap [Ord]);

macro_rules! tuples {
    ($(($($field:ident),*))*) => {$(
        #[allow(non_snake_case, unused_variables)]
        impl<$($field: Decode),*> Decode for ($($field,)*) {
            fn decode(input: &mut Input<'_>) -> Self { ($($field::decode(input),)*) }
        }
        #[allow(non_snake_case, unused_variables)]
        impl<$($field: Encode),*> Encode for ($($field,)*) {
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($field,)*) = self;
                $($field.encode(out);)*
            }
        }
    )*};
}
tuples!(() (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F));
