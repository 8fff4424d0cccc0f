//! Bytes on their way: cut small, counted as signs of life, slowed where a limit is set, and refused
//! where there are more than there may be.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::throttle::Throttle;
use crate::store::failure::Longer;

/// What is sent goes in pieces of this, in bytes, or of what a limit lets through in a second: small
/// enough that even a slow line takes one before anybody thinks it dead.
const PIECE: usize = 64 << 10;

/// Counts pieces: a sign that the other side still takes or gives.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many pieces went by.
    pub(super) fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A server that was silent for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence(pub(super) Duration);

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no answer for {} s", self.0.as_secs_f32())
    }
}

impl std::error::Error for Silence {}

/// A body on its way. With `silence` it fails when nothing comes for so long.
pub(super) struct Paced<B> {
    inner: Pin<Box<B>>,
    pending: Bytes,
    pulse: Arc<Pulse>,
    throttle: Option<Arc<Throttle>>,
    pause: Option<Pin<Box<Sleep>>>,
    silence: Option<Duration>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// How many bytes more there may be.
    room: Option<u64>,
}

impl<B> Paced<B> {
    pub(super) fn new(
        inner: B,
        pulse: Arc<Pulse>,
        throttle: Option<Arc<Throttle>>,
        silence: Option<Duration>,
    ) -> Paced<B> {
        Paced {
            inner: Box::pin(inner),
            pending: Bytes::new(),
            pulse,
            throttle,
            pause: None,
            silence,
            alarm: None,
            room: None,
        }
    }

    /// Refuses more than so many bytes.
    pub(super) fn at_most(self, bytes: Option<u64>) -> Paced<B> {
        Paced { room: bytes, ..self }
    }

    /// Gives the next piece of what is at hand; the one after it waits until this one is paid.
    fn piece(&mut self) -> Frame<Bytes> {
        let most = self.throttle.as_ref().map_or(PIECE, |throttle| throttle.piece(PIECE));
        let piece = self.pending.split_to(self.pending.len().min(most));
        self.pulse.beat();
        self.alarm = None;
        if let Some(throttle) = &self.throttle {
            let until = throttle.pay(piece.len());
            if until > Instant::now() {
                self.pause = Some(Box::pin(sleep_until(until)));
            }
        }
        Frame::data(piece)
    }
}

impl<B: Body<Data = Bytes, Error = HttpError>> Body for Paced<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        if !self.pending.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        match self.inner.as_mut().poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if !data.is_empty() => {
                    if let Some(room) = &mut self.room {
                        let Some(rest) = room.checked_sub(data.len() as u64) else {
                            let error = HttpError::new(HttpErrorKind::Unknown, Longer);
                            return Poll::Ready(Some(Err(error)));
                        };
                        *room = rest;
                    }
                    self.pending = data;
                    Poll::Ready(Some(Ok(self.piece())))
                }
                Ok(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(other) => Poll::Ready(Some(Ok(other))),
            },
            Poll::Ready(other) => Poll::Ready(other),
            Poll::Pending => {
                let Some(silence) = self.silence else { return Poll::Pending };
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(silence)));
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                let error = HttpError::new(HttpErrorKind::Timeout, Silence(silence));
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pending.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let pending = self.pending.len() as u64;
        let inner = self.inner.size_hint();
        match inner.exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(pending)),
            None => inner,
        }
    }
}
