module github.com/sinbahub/sinbahub/internal/hubtest/clients/gowsdl

go 1.26.0

tool github.com/hooklift/gowsdl/cmd/gowsdl

require github.com/hooklift/gowsdl v0.5.0
