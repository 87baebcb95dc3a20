// Command dockerfile-lint reads a Dockerfile on standard input and prints what BuildKit's own checks say.
//
// It is `docker build --check` without a Docker engine: base images are not fetched, so each stands as an empty image of
// the asked platform. It exits with 1 where BuildKit warns or refuses.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type emptyImages struct{}

func (emptyImages) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	image := ocispecs.Image{}
	if platform := opt.ImageOpt.Platform; platform != nil {
		image.Platform = *platform
	}
	config, err := json.Marshal(image)
	return ref, "", config, err
}

func main() {
	dockerfile, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", dockerfile)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), dockerfile, dockerfile2llb.ConvertOpt{
		MetaResolver: emptyImages{},
		SourceMap:    source,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := results.PrintTo(os.Stdout, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	results.PrintErrorTo(os.Stdout, nil)
	if results.Error != nil || len(results.Warnings) > 0 {
		os.Exit(1)
	}
}
