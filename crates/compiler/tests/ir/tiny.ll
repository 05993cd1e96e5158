define void @tiny() { ret void }
