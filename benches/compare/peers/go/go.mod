module procmgr.bench/peer

go 1.21

require procmgr v0.0.0

replace procmgr => ../../../../bindings/go
