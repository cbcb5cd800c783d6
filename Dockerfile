# natter in a small image: docker build --tag natter .
#
# For BuildKit, which is Docker's default since version 23 (in 20.10: DOCKER_BUILDKIT=1). There is no `# syntax=` line: what
# the daemon brings along is enough.
#
# What is built runs on TARGETARCH, amd64 or arm64; what builds runs on the machine that is there:
# docker buildx build --platform linux/arm64 --tag natter .

FROM --platform=$BUILDPLATFORM node:20.20.2-bookworm-slim AS web
WORKDIR /natter/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM --platform=$BUILDPLATFORM rust:1.95.0-slim-bookworm AS build
ARG BUILDARCH
ARG TARGETARCH
WORKDIR /natter
# Debian's names of architectures are Docker's; Rust's and those of GNU are others.
RUN set -eu; \
    case "$TARGETARCH" in \
      amd64) machine=x86_64; package=gcc-x86-64-linux-gnu ;; \
      arm64) machine=aarch64; package=gcc-aarch64-linux-gnu ;; \
      *) echo "natter is built for amd64 and arm64, not for '$TARGETARCH'" >&2; exit 1 ;; \
    esac; \
    target="$machine-unknown-linux-gnu"; \
    mkdir .cargo; \
    printf '[build]\ntarget = "%s"\n' "$target" >.cargo/config.toml; \
    if [ "$TARGETARCH" != "$BUILDARCH" ]; then \
      apt-get update; \
      apt-get install -y --no-install-recommends "$package" "libc6-dev-$TARGETARCH-cross"; \
      rm -rf /var/lib/apt/lists/*; \
      rustup target add "$target"; \
      printf '[target.%s]\nlinker = "%s-linux-gnu-gcc"\n' "$target" "$machine" >>.cargo/config.toml; \
    fi
# The dependencies in a layer of their own: they take longest, and change seldom.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
    && cargo build --locked --release \
    && rm -r src
COPY config.default.toml ./
COPY src ./src
COPY --from=web /natter/web/dist ./web/dist
# What was copied may be older than what was built in its place above.
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --release \
    && cp target/*/release/natter /usr/local/bin/natter
# Names of functions stay, for backtraces. The tables of lines are three quarters of the file; a panic tells its place without them.
RUN case "$TARGETARCH" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac; \
    "$machine-linux-gnu-strip" --strip-debug /usr/local/bin/natter

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 natter \
    && useradd --uid 65532 --gid natter --no-create-home --home-dir /var/lib/natter --shell /usr/sbin/nologin natter \
    && install --directory --owner natter --group natter --mode 0700 /var/lib/natter
COPY --from=build /usr/local/bin/natter /usr/local/bin/natter
LABEL org.opencontainers.image.title="natter" \
      org.opencontainers.image.description="A chat server that a team puts behind its own product." \
      org.opencontainers.image.licenses="Apache-2.0"
# By number, so that Kubernetes sees that it is not root. All that is ever written is below the data folder.
USER 65532:65532
WORKDIR /var/lib/natter
VOLUME /var/lib/natter
ENV NATTER_LISTEN=0.0.0.0:8080 \
    NATTER_METRICS_LISTEN=0.0.0.0:9464 \
    NATTER_DATA_DIR=/var/lib/natter
# Clients; metrics; what nodes of a cluster hand on to each other, if NATTER_INTERNAL_LISTEN says so.
EXPOSE 8080 9464 9465
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["natter", "healthcheck"]
ENTRYPOINT ["natter"]
CMD ["serve"]
