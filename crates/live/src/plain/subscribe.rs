//! Joining and leaving rooms, with what was missed in between.

use trunkline_model::{ErrorCode, Room};

use super::frames::{self, FrameId, Sent, gap_reason};
use super::session::{Mark, Session};
use crate::door::Refusal;
use crate::ending::Ending;
use crate::fanout::{Place, Resume, Step};

impl Session<'_> {
    pub(super) async fn subscribe(
        &mut self,
        id: Option<FrameId>,
        wanted: Vec<(Room, Option<Place>)>,
    ) -> Result<(), Ending> {
        let (allowed, refused): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(room, _)| self.principal.may_join(room, &self.live.rules));
        if !refused.is_empty() {
            self.refuse_rooms(id.as_ref(), refused.iter().map(|(room, _)| room).collect()).await?;
        }
        if allowed.is_empty() {
            return Ok(());
        }
        let joined = self.live.fanout.rooms_of(&self.seat);
        let names: Vec<Room> = allowed.iter().map(|(room, _)| room.clone()).collect();
        // Rooms that were joined before go on as they are.
        let new: Vec<_> = allowed.into_iter().filter(|(room, _)| !joined.contains(room)).collect();
        if joined.len() + new.len() > self.live.limits.rooms {
            let detail = format!("a connection joins at most {} rooms", self.live.limits.rooms);
            return self.refuse(id.as_ref(), &Refusal::new(ErrorCode::RequestInvalid, detail)).await;
        }
        let mut resume = Resume::new(self.seat.clone(), new);
        loop {
            let step = resume.next(&self.live.fanout).await.map_err(|error| {
                tracing::debug!(error = ?error, "a live connection cannot resume");
                Ending::Unavailable
            })?;
            match step {
                Step::Joined => break,
                Step::Gap(gap, rooms) => {
                    let gap = Sent::ResumeGap { id: id.as_ref(), reason: gap_reason(gap), rooms: &rooms };
                    let gap = gap.to_message();
                    self.send(gap).await?;
                }
                Step::Events(events) => {
                    self.live.metrics.sent.inc_by(events.len() as u64);
                    let messages = events.iter().map(|(event, mask)| frames::event_message(event, *mask));
                    self.send_all(messages.collect()).await?;
                    // What comes meanwhile for rooms that were joined before must not wait for all this.
                    self.drain_queue().await?;
                }
            }
        }
        self.marks.push_back(Mark::Subscribed(id, names));
        Ok(())
    }

    async fn refuse_rooms(&mut self, id: Option<&FrameId>, rooms: Vec<&Room>) -> Result<(), Ending> {
        let code = ErrorCode::AuthForbidden.as_str();
        self.live.metrics.count_refused(code);
        let detail = "the token does not open these rooms";
        let frame = Sent::Error { id, code, detail, rooms, errors: vec![] }.to_message();
        self.send(frame).await
    }

    pub(super) async fn unsubscribe(&mut self, id: Option<FrameId>, rooms: &[Room]) -> Result<(), Ending> {
        loop {
            if let Some(left) = self.live.fanout.leave(&self.seat, rooms) {
                self.marks.push_back(Mark::Unsubscribed(id, left));
                return Ok(());
            }
            // The queue is full; after this there is room for the mark, unless the connection has ended.
            self.drain_queue().await?;
            tokio::task::yield_now().await;
        }
    }
}
