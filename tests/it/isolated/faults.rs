//! Faults of a whole server.

mod death_of_the_server;
mod full_disk;
mod limited_users;
mod repeats;
mod slow_inserts;
mod slow_reader;
