module procmgr.bench/peer

go 1.21
