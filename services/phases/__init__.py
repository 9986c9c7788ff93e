"""One file a phase: each calls one package and says how it went. `services.pipeline.PHASES` has their order."""
