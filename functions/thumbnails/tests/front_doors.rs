//! Every case of this route group, through every front door.

tests::front_doors!("thumbnails");
