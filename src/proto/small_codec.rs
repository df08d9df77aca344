//! How the agent's messages are read and written: as tonic's own codec does, with
//! buffers that begin small.
//!
//! Must not know: any message. Invariant: a message of any size passes that
//! passes tonic's own codec; the buffers grow as needed.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// What a buffer begins with, and grows by. tonic's own is 8 KiB for each
/// direction of a call, and a Subscribe stream, which is a call that stands for
/// days, says next to nothing.
const BUFFER_BYTES: usize = 512;
/// Bytes from which encoded messages are handed on before more are encoded; as in tonic.
const YIELD_BYTES: usize = 32 * 1024;

/// [`ProstCodec`] with small buffers.
#[derive(Debug)]
pub struct SmallCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
