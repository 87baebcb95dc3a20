{{/* Names and labels. Each takes the root, or (dict "root" $ "role" NAME). */}}
{{- define "powerflock.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "powerflock.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "powerflock.labels" -}}
{{ include "powerflock.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "powerflock.role.name" -}}
{{ include "powerflock.name" .root }}-{{ .role }}
{{- end }}

{{- define "powerflock.role.selector" -}}
{{ include "powerflock.selector" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "powerflock.role.labels" -}}
{{ include "powerflock.labels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "powerflock.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Whether Kafka's clients talk TLS, and whether they log in. */}}
{{- define "powerflock.kafka.protocol" -}}
{{ if .Values.strimzi.enabled }}SSL{{ else }}{{ .Values.kafka.securityProtocol }}{{ end }}
{{- end }}

{{- define "powerflock.kafka.servers" -}}
{{- if .Values.strimzi.enabled -}}
{{ include "powerflock.name" . }}-kafka-bootstrap:9093
{{- else -}}
{{ required "kafka.bootstrapServers is required: host:port of your Kafka, or strimzi.enabled for one of its own" .Values.kafka.bootstrapServers }}
{{- end -}}
{{- end }}

{{- define "powerflock.kafka.certificate" -}}
{{ if or .Values.strimzi.enabled .Values.kafka.clientCertificate }}true{{ end }}
{{- end }}

{{- define "powerflock.registry.secret" -}}
{{ if .Values.cloudnativepg.enabled }}{{ include "powerflock.name" . }}-registry-app{{ else }}{{ .Values.registry.existingSecret }}{{ end }}
{{- end }}

{{- define "powerflock.registry.key" -}}
{{ if .Values.cloudnativepg.enabled }}uri{{ else }}url{{ end }}
{{- end }}

{{/* What the chart itself sets in a role's powerflock.toml, as a map of sections. */}}
{{- define "powerflock.own-settings" -}}
{{- $values := .root.Values -}}
{{- $needs := (index $values .role).needs -}}
plant:
  partitions: {{ $values.plant.partitions }}
  data_dir: /data
process:
  host: 0.0.0.0
  port: 8742
{{- if eq .role "gateway" }}
gateway:
  host: 0.0.0.0
  port: 8741
{{- end }}
{{- if eq .role "api" }}
api:
  host: 0.0.0.0
  port: 8740
{{- end }}
{{- if has "kafka" $needs }}
{{- $protocol := include "powerflock.kafka.protocol" .root }}
log:
  url: kafka://{{ include "powerflock.kafka.servers" .root }}
kafka:
  security_protocol: {{ $protocol }}
  topic_prefix: {{ $values.kafka.topicPrefix | quote }}
  replication: {{ $values.kafka.replication }}
  min_insync_replicas: {{ $values.kafka.minInsyncReplicas }}
  production: {{ $values.kafka.production }}
  {{- if hasPrefix "SASL" $protocol }}
  sasl_mechanism: {{ $values.kafka.saslMechanism }}
  username: {{ $values.kafka.username | quote }}
  password_file: /run/secrets/powerflock/kafka/password
  {{- end }}
  {{- if hasSuffix "SSL" $protocol }}
  ca_file: /run/secrets/powerflock/kafka/ca.crt
  {{- end }}
  {{- if and (eq $protocol "SSL") (include "powerflock.kafka.certificate" .root) }}
  certificate_file: /run/secrets/powerflock/kafka/tls.crt
  key_file: /run/secrets/powerflock/kafka/tls.key
  {{- end }}
{{- end }}
{{- if has "registry" $needs }}
registry:
  url_file: /run/secrets/powerflock/registry/url
{{- end }}
{{- if has "storage" $needs }}
storage:
  url: {{ required "storage.url is required: s3://bucket/prefix for snapshots and history" $values.storage.url | quote }}
  {{- with $values.storage.endpoint }}
  endpoint: {{ . | quote }}
  {{- if hasPrefix "http:" . }}
  allow_http: true
  {{- end }}
  {{- end }}
  region: {{ $values.storage.region | quote }}
  access_key_file: /run/secrets/powerflock/storage/access-key
  secret_key_file: /run/secrets/powerflock/storage/secret-key
{{- end }}
{{- if has "devices" $needs }}
security:
  secret_file: /run/secrets/powerflock/devices/token-secret
  {{- if eq .role "api" }}
  enrol_key_file: /run/secrets/powerflock/devices/enrol-key
  {{- end }}
{{- end }}
{{- end }}

{{/* A role's powerflock.toml: the chart's own settings, then `settings`, then the role's `settings`. */}}
{{- define "powerflock.toml" -}}
{{- $own := include "powerflock.own-settings" . | fromYaml -}}
{{- if hasKey $own "Error" }}{{ fail (printf "settings of %s: %s" .role $own.Error) }}{{ end -}}
{{- $given := mergeOverwrite (deepCopy .root.Values.settings) (deepCopy ((index .root.Values .role).settings | default dict)) -}}
{{- range $section, $fields := $given -}}
{{- range $field, $_ := $fields -}}
{{- if hasKey (index $own $section | default dict) $field -}}
{{- fail (printf "settings.%s.%s is set by the chart from its other values; leave it out" $section $field) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $all := mergeOverwrite $own $given -}}
{{- range $section, $fields := $all }}
[{{ $section }}]
{{- range $field, $value := $fields }}
{{ $field }} = {{ $value | toJson }}
{{- end }}
{{ end -}}
{{- end }}

{{/* Secrets as files: only what the role needs, readable by its group alone. */}}
{{- define "powerflock.volumes" -}}
{{- $values := .root.Values -}}
{{- $needs := (index $values .role).needs -}}
- name: settings
  configMap: {name: {{ include "powerflock.role.name" . }}}
- name: data
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- if has "devices" $needs }}
- name: devices
  secret:
    secretName: {{ $values.devices.existingSecret }}
    defaultMode: 0440
    items:
      - {key: token-secret, path: token-secret}
      {{- if eq .role "api" }}
      - {key: enrol-key, path: enrol-key}
      {{- end }}
{{- end }}
{{- if and (has "kafka" $needs) (ne (include "powerflock.kafka.protocol" .root) "PLAINTEXT") }}
- name: kafka
  projected:
    defaultMode: 0440
    sources:
      {{- if $values.strimzi.enabled }}
      - secret:
          name: {{ include "powerflock.name" .root }}-cluster-ca-cert
          items: [{key: ca.crt, path: ca.crt}]
      - secret:
          name: {{ include "powerflock.name" .root }}-roles
          items: [{key: user.crt, path: tls.crt}, {key: user.key, path: tls.key}]
      {{- else }}
      - secret: {name: {{ $values.kafka.existingSecret }}}
      {{- end }}
{{- end }}
{{- if has "registry" $needs }}
- name: registry
  secret:
    secretName: {{ include "powerflock.registry.secret" .root }}
    defaultMode: 0440
    items: [{key: {{ include "powerflock.registry.key" .root }}, path: url}]
{{- end }}
{{- if has "storage" $needs }}
- name: storage
  secret:
    secretName: {{ $values.storage.existingSecret }}
    defaultMode: 0440
    items: [{key: access-key, path: access-key}, {key: secret-key, path: secret-key}]
{{- end }}
{{- end }}

{{- define "powerflock.mounts" -}}
{{- $needs := (index .root.Values .role).needs -}}
- {name: settings, mountPath: /etc/powerflock, readOnly: true}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- range $name := $needs }}
{{- if or (ne $name "kafka") (ne (include "powerflock.kafka.protocol" $.root) "PLAINTEXT") }}
- {name: {{ $name }}, mountPath: /run/secrets/powerflock/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{- define "powerflock.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "powerflock.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "powerflock.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "powerflock.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* A scaler's role names no number of pods. Where this very release named it last, all pods but one would stop: refused.
Takes `kind`, too. Renders nothing. */}}
{{- define "powerflock.handed-over" -}}
{{- $name := include "powerflock.role.name" . -}}
{{- $live := lookup "apps/v1" .kind .root.Release.Namespace $name -}}
{{- $owners := list -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if hasKey (dig "fieldsV1" "f:spec" dict .) "f:replicas" }}{{ $owners = append $owners .manager }}{{ end -}}
{{- end -}}
{{- if and (eq (join "," $owners) "helm") (gt (int $live.spec.replicas) 1) -}}
{{- fail (printf "%s has %d pods, and this release named that number: with a scaler all but one would stop. Hand the number over first; docs/kubernetes.md says how" $name (int $live.spec.replicas)) -}}
{{- end -}}
{{- end }}

{{/* The pod of a role. `revision` is the label by which its controller tells old pods from new ones. */}}
{{- define "powerflock.pod" -}}
{{- $values := .root.Values -}}
{{- $role := index $values .role -}}
metadata:
  # Only labels that never change: a new chart version alone restarts nothing.
  labels:
    {{- include "powerflock.role.selector" . | nindent 4 }}
    {{- with $values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/settings: {{ include "powerflock.toml" . | sha256sum }}
    {{- with $values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "powerflock.role.name" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $role.terminationGracePeriodSeconds }}
  securityContext: {{- include "powerflock.pod-security" .root | nindent 4 }}
  {{- include "powerflock.pull" .root | nindent 2 }}
  {{- include "powerflock.placement" .root | nindent 2 }}
  # Honor: a node that takes none of these pods, cordoned or tainted, does not count as an empty one that all wait for.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: {{ $values.topologySpread.nodes }}
      nodeTaintsPolicy: Honor
      labelSelector:
        matchLabels: {{- include "powerflock.role.selector" . | nindent 10 }}
      matchLabelKeys: [{{ .revision }}]
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: {{ $values.topologySpread.zones }}
      nodeTaintsPolicy: Honor
      labelSelector:
        matchLabels: {{- include "powerflock.role.selector" . | nindent 10 }}
      matchLabelKeys: [{{ .revision }}]
  containers:
    - name: {{ .role }}
      image: {{ include "powerflock.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [{{ .role }}]
      env:
        - {name: POWERFLOCK_CONFIG, value: /etc/powerflock/powerflock.toml}
        - {name: POWERFLOCK_PROCESS_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        {{- if eq .role "twins" }}
        # The group remembers the address of a member that comes back under its name: it must be the same again.
        - name: POWERFLOCK_PROCESS_ADVERTISE
          value: $(POWERFLOCK_PROCESS_NAME).{{ include "powerflock.role.name" . }}-pods
        {{- else }}
        - {name: POWERFLOCK_PROCESS_ADVERTISE, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        {{- end }}
        {{- if eq .role "gateway" }}
        - name: POWERFLOCK_GATEWAY_NUMBER
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
        {{- end }}
      ports:
        - {name: health, containerPort: 8742}
        {{- if eq .role "gateway" }}
        - {name: devices, containerPort: 8741}
        {{- else if eq .role "api" }}
        - {name: http, containerPort: 8740}
        {{- end }}
      # A first start compiles kernels, and a new owner of partitions replays: five minutes before liveness is asked.
      startupProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: health}
        periodSeconds: 5
        timeoutSeconds: 3
      # Load balancers first forget the pod, then SIGTERM drains it.
      lifecycle: {preStop: {sleep: {seconds: 5}}}
      resources: {{- toYaml $role.resources | nindent 8 }}
      securityContext: {{- include "powerflock.container-security" .root | nindent 8 }}
      volumeMounts: {{- include "powerflock.mounts" . | nindent 8 }}
  volumes: {{- include "powerflock.volumes" . | nindent 4 }}
{{- end }}
