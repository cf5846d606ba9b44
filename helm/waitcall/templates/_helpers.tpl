{{- define "waitcall.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A value as it was written. A template would print the number 1000000 of a values file as 1e+06. */}}
{{- define "waitcall.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* Labels that select the objects of a component. Takes a list: context, component. */}}
{{- define "waitcall.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object. Takes a list: context, component, more labels. The chart's own win, because selectors need them. */}}
{{- define "waitcall.labels" -}}
{{- $ := index . 0 -}}
{{- $own := dict
  "app.kubernetes.io/version" $.Chart.AppVersion
  "app.kubernetes.io/managed-by" $.Release.Service
  "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_")
-}}
{{- toYaml (merge (include "waitcall.selector" . | fromYaml) $own (deepCopy (index . 2)) (deepCopy ($.Values.commonLabels | default dict))) -}}
{{- end }}

{{/* Name, labels and annotations of an object. Takes a dict: context, name (with the release's in front unless `named`), component, labels, annotations. */}}
{{- define "waitcall.metadata" -}}
{{- $ := .context -}}
name: {{ default (printf "%s%s" (include "waitcall.fullname" $) (.name | default "")) .named }}
labels:
  {{- include "waitcall.labels" (list $ .component (.labels | default dict)) | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) ($.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "waitcall.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "waitcall.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* Reference of an image. Takes a list: context, values of the image. */}}
{{- define "waitcall.image" -}}
{{- $ := index . 0 -}}{{- $image := index . 1 -}}
{{- $registry := $.Values.global.imageRegistry | default $image.registry | default "" | trimSuffix "/" -}}
{{- $name := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $name $image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (default $.Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end }}

{{/* Security context of a pod. OpenShift chooses the user and the groups. */}}
{{- define "waitcall.podSecurityContext" -}}
{{- $adapt := .Values.global.compatibility.openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- omit .Values.podSecurityContext "runAsUser" "runAsGroup" "fsGroup" | toYaml -}}
{{- else -}}
{{- toYaml .Values.podSecurityContext -}}
{{- end -}}
{{- end }}

{{/* Image pull Secrets of a pod, those of `global` first. Each is given by its name, or as {name: …}. */}}
{{- define "waitcall.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- if kindIs "string" . }}{{ $names = append $names . }}{{ else }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
{{- with $names | uniq -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "waitcall.policyConfigMap" -}}
{{- default (printf "%s-policy" (include "waitcall.fullname" .)) .Values.policy.existingConfigMap -}}
{{- end }}

{{- define "waitcall.secretName" -}}
{{- if .Values.demo.enabled -}}
{{- include "waitcall.demoAlone" . -}}
{{ include "waitcall.fullname" . }}-demo
{{- else -}}
{{- required "secret.existingSecret: name the Secret that holds the credentials (README, section Secrets)." .Values.secret.existingSecret -}}
{{- end -}}
{{- end }}

{{/* Refuse the demo beside values of a real installation. */}}
{{- define "waitcall.demoAlone" -}}
{{- $keys := .Values.secret.keys -}}
{{- range $value, $wrong := dict
  "secret.existingSecret" .Values.secret.existingSecret
  "externalSecret.enabled" .Values.externalSecret.enabled
  "ingress.enabled" .Values.ingress.enabled
  "httpRoute.enabled" .Values.httpRoute.enabled
  "autoscaling.enabled" .Values.autoscaling.enabled
  "networkPolicy.callback" .Values.networkPolicy.callback
  "settings.redisMinReplicas" (ne (int .Values.settings.redisMinReplicas) 0)
  "secret.keys" (compact (list $keys.smscLogin $keys.smscPassword $keys.smsruApiId $keys.twilioAuthTokens $keys.telnyxApiKey $keys.sipSecrets $keys.keyPepperOther $keys.webhookSecrets $keys.certificateAuthorities))
-}}
{{- if $wrong -}}
{{- fail (printf "demo.enabled: unset %s. The demo has a simulated provider, so nothing real may depend on it or reach it." $value) }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "yes" if the provider is simulated, else nothing. */}}
{{- define "waitcall.simulated" -}}
{{- if .Values.demo.enabled }}{{ include "waitcall.demoAlone" . }}{{ end -}}
{{- if or .Values.simulator.enabled .Values.demo.enabled }}yes{{ end -}}
{{- end }}

{{/* Name of the Secret with the API key of `helm test`, or nothing. */}}
{{- define "waitcall.testSecret" -}}
{{- if .Values.demo.enabled }}{{ include "waitcall.secretName" . }}{{ else }}{{ .Values.test.apiKeySecret }}{{ end -}}
{{- end }}

{{/* Public host names of the Ingress, as JSON. */}}
{{- define "waitcall.ingressHosts" -}}
{{- $hosts := list -}}
{{- with .Values.ingress.host }}{{ $hosts = append $hosts . }}{{ end -}}
{{- range .Values.ingress.hosts -}}
{{- if kindIs "string" . }}{{ $hosts = append $hosts . }}{{ else }}{{ $hosts = append $hosts .host }}{{ end -}}
{{- end -}}
{{- toJson ($hosts | uniq) -}}
{{- end }}

{{/*
Deployments that serve, as JSON. Each has its surface, its listener, the Services that select its pods, and its values: those of
`serve`, overridden by those of `api`, `public` or `page`.
*/}}
{{- define "waitcall.serving" -}}
{{- $ := . -}}
{{- $public := dict "container" 8081 "name" "callback" -}}
{{- $inner := ternary (list "api" "ops" "simulator") (list "api" "ops") (eq (include "waitcall.simulated" .) "yes") -}}
{{- $all := list
  (dict "name" "api" "surface" "api" "listener" (dict "container" 8080 "name" "api") "services" $inner "own" $.Values.api)
  (dict "name" "public" "surface" "callback" "listener" $public "services" (list "callback" "ops") "own" $.Values.public)
-}}
{{- if $.Values.page.enabled -}}
{{- $all = append $all (dict "name" "page" "surface" "page" "listener" $public "services" (list "page" "ops") "own" (omit $.Values.page "enabled")) -}}
{{- end -}}
{{- range $all -}}
{{- $scaling := dict "autoscaling" (deepCopy $.Values.autoscaling) "podDisruptionBudget" (deepCopy $.Values.podDisruptionBudget) -}}
{{- $_ := set . "own" (mergeOverwrite (deepCopy $.Values.serve) $scaling .own) -}}
{{- if $.Values.demo.enabled -}}
{{- $_ := set .own "replicas" 1 -}}
{{- end -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{/*
Settings of a component that come from the Secret, as JSON: key of the Secret by name of the setting. Takes a list: context, component.
Pods that strangers reach get no API keys, no SMSC account and no webhook secrets.
*/}}
{{- define "waitcall.secretSettings" -}}
{{- $ := index . 0 -}}
{{- $keys := $.Values.secret.keys -}}
{{- $all := dict "REDIS_URL" $keys.redisUrl "SMSC_APIKEY" $keys.smscApikey "SMSC_LOGIN" $keys.smscLogin "SMSC_PASSWORD" $keys.smscPassword "SMSRU_API_ID" $keys.smsruApiId "CALLBACK_SECRETS" $keys.callbackSecrets "API_KEYS" $keys.apiKeys "KEY_PEPPER" $keys.keyPepper "KEY_PEPPER_OTHER" $keys.keyPepperOther "WEBHOOK_SECRETS" $keys.webhookSecrets -}}
{{- $all = merge $all (dict "REDIS_USERNAME" $keys.redisUsername "REDIS_PASSWORD" $keys.redisPassword "REDIS_SENTINEL_USERNAME" $keys.redisSentinelUsername "REDIS_SENTINEL_PASSWORD" $keys.redisSentinelPassword "REDIS_KEY_PASSWORD" $keys.redisKeyPassword) -}}
{{- $all = merge $all (dict "TWILIO_AUTH_TOKENS" $keys.twilioAuthTokens "TELNYX_API_KEY" $keys.telnyxApiKey "SIP_SECRETS" $keys.sipSecrets) -}}
{{- if has (index . 1) (list "public" "page") -}}
{{- $all = omit $all "SMSC_APIKEY" "SMSC_LOGIN" "SMSC_PASSWORD" "API_KEYS" "WEBHOOK_SECRETS" -}}
{{- end -}}
{{- if eq (index . 1) "page" -}}
{{- $all = omit $all "TWILIO_AUTH_TOKENS" "TELNYX_API_KEY" "SIP_SECRETS" -}}
{{- end -}}
{{- $named := dict -}}
{{- range $setting, $key := $all }}{{- if $key }}{{- $_ := set $named $setting $key }}{{- end }}{{- end -}}
{{- toJson $named -}}
{{- end }}

{{/* Public paths and their Services, as JSON. */}}
{{- define "waitcall.publicPaths" -}}
{{- $paths := list -}}
{{- if .Values.secret.keys.callbackSecrets }}{{- $paths = append $paths (dict "path" "/callbacks/smsc" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.secret.keys.smsruApiId }}{{- $paths = append $paths (dict "path" "/callbacks/smsru" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.secret.keys.twilioAuthTokens }}{{- $paths = append $paths (dict "path" "/callbacks/twilio" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.settings.telnyxPublicKeys }}{{- $paths = append $paths (dict "path" "/callbacks/telnyx" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.secret.keys.sipSecrets }}{{- $paths = append $paths (dict "path" "/callbacks/sip" "type" "Exact" "service" "callback") }}{{- end -}}
{{- if .Values.settings.publicUrl }}{{- $paths = append $paths (dict "path" "/p" "type" "Prefix" "service" (ternary "page" "callback" .Values.page.enabled)) }}{{- end -}}
{{- if and (not $paths) (or .Values.ingress.enabled .Values.httpRoute.enabled) }}
{{- fail "ingress.enabled, httpRoute.enabled: nothing is public. Name secret.keys of a provider, or set settings.publicUrl." }}
{{- end }}
{{- toJson $paths -}}
{{- end }}

{{/* Files of the Secret with certificates for Redis, as JSON: key of the Secret by name of the setting. */}}
{{- define "waitcall.redisTls" -}}
{{- $named := dict -}}
{{- if .Values.redisTls.existingSecret -}}
{{- $keys := .Values.redisTls.keys -}}
{{- range $setting, $key := dict "REDIS_CA" $keys.ca "REDIS_CERT" $keys.cert "REDIS_KEY" $keys.key }}{{- if $key }}{{- $_ := set $named $setting $key }}{{- end }}{{- end -}}
{{- end -}}
{{- toJson $named -}}
{{- end }}

{{/* Directory with more languages of the hosted page, for the pods that serve it. Takes a list: context, component. */}}
{{- define "waitcall.pageLocales" -}}
{{- $ := index . 0 -}}
{{- if has (index . 1) (list "public" "page") -}}
{{- ternary "/run/waitcall/locales" $.Values.settings.pageLocales (ne $.Values.pageLocales.existingConfigMap "") -}}
{{- end -}}
{{- end }}

{{/* URL of the trace collector: `tracing.endpoint`, or what extraEnv says. Takes a list: context, values of the component. */}}
{{- define "waitcall.tracingEndpoint" -}}
{{- $ := index . 0 -}}
{{- if eq $.Values.settings.tracing "otlp" -}}
{{- $found := $.Values.tracing.endpoint -}}
{{- range (index . 1).extraEnv -}}
{{- if has .name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") }}{{ $found = default $found .value }}{{ end -}}
{{- end -}}
{{- $found -}}
{{- end -}}
{{- end }}

{{/* Environment of the main container. Takes a list: context, component, values of the component. */}}
{{- define "waitcall.env" -}}
{{- $ := index . 0 -}}
{{- range $setting, $key := fromJson (include "waitcall.secretSettings" .) }}
- name: WAITCALL_{{ $setting }}_FILE
  value: /run/waitcall/secrets/{{ $key }}
{{- end }}
{{- range $setting, $key := fromJson (include "waitcall.redisTls" $) }}
- name: WAITCALL_{{ $setting }}
  value: /run/waitcall/redis-tls/{{ $key }}
{{- end }}
{{- with $.Values.secret.keys.certificateAuthorities }}
- name: SSL_CERT_FILE
  value: /run/waitcall/secrets/{{ . }}
{{- end }}
{{- $settings := $.Values.settings }}
{{- $simulated := eq (include "waitcall.simulated" $) "yes" }}
{{- $plain := list
  (list "SMSC_URLS" (ternary "http://127.0.0.1:8082/sys" (join "," $settings.smscUrls) $simulated))
  (list "SMSC_TIMEOUT_SECONDS" $settings.smscTimeoutSeconds)
  (list "SMSRU_URL" $settings.smsruUrl)
  (list "SMSRU_TIMEOUT_SECONDS" $settings.smsruTimeoutSeconds)
  (list "TWILIO_ACCOUNT_SID" $settings.twilioAccountSid)
  (list "TWILIO_URL" $settings.twilioUrl)
  (list "TELNYX_PUBLIC_KEYS" (join "," ($settings.telnyxPublicKeys | default list)))
  (list "TELNYX_API_URL" $settings.telnyxApiUrl)
  (list "CALLBACK_HASH" $settings.callbackHash)
  (list "POLICY" "/run/waitcall/policy/policy.toml")
  (list "PUBLIC_URL" $settings.publicUrl)
  (list "PAGE_LOCALES" (include "waitcall.pageLocales" .))
  (list "WINDOW_SECONDS" $settings.windowSeconds)
  (list "INBOX_POLL_SECONDS" (ternary 0 $settings.inboxPollSeconds $simulated))
  (list "INBOX_ASSURANCE" $settings.inboxAssurance)
  (list "LOW_BALANCE" $settings.lowBalance)
  (list "REDIS_MIN_REPLICAS" $settings.redisMinReplicas)
  (list "TRUSTED_HOSTS" (join "," $settings.trustedHosts))
  (list "TRUSTED_HOPS" $settings.trustedHops)
  (list "WORKERS" $settings.workers)
  (list "DRAIN_SECONDS" $settings.drainSeconds)
  (list "MAX_ORDERS" $settings.maxOrders)
  (list "MAX_WAITING" $settings.maxWaiting)
  (list "LOG_LEVEL" $settings.logLevel)
  (list "TRACING" $settings.tracing)
  (list "API_BIND" "[::]:8080")
  (list "CALLBACK_BIND" "[::]:8081")
  (list "OPS_BIND" "[::]:9090")
  (list "WORKER_OPS_BIND" "[::]:9091")
}}
{{- range $plain }}
{{- /* null takes the chart's default away, and the service's own holds. */}}
{{- if ne nil (index . 1) }}
- name: WAITCALL_{{ index . 0 }}
  value: {{ include "waitcall.text" (index . 1) | quote }}
{{- end }}
{{- end }}
{{- if and $.Values.tracing.endpoint (eq $settings.tracing "otlp") }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $.Values.tracing.endpoint | quote }}
{{- end }}
{{- range (index . 2).extraEnv }}
{{- if hasKey . "value" }}
- name: {{ .name }}
  value: {{ include "waitcall.text" .value | quote }}
{{- else }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end }}

{{- define "waitcall.volumeMounts" -}}
- name: secrets
  mountPath: /run/waitcall/secrets
  readOnly: true
- name: policy
  mountPath: /run/waitcall/policy
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.redisTls.existingSecret }}
- name: redis-tls
  mountPath: /run/waitcall/redis-tls
  readOnly: true
{{- end }}
{{- end }}

{{/* Image, environment, resources and mounts of the main container. Takes a list: context, component, values of the component. */}}
{{- define "waitcall.container" -}}
{{- $ := index . 0 -}}{{- $own := index . 2 -}}
image: {{ include "waitcall.image" (list $ $.Values.image) }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
securityContext:
  {{- toYaml $.Values.securityContext | nindent 2 }}
env:
  {{- /* The worker serves no surface. Its settings are those of the API, whose pods have no callbacks either. */}}
  {{- $surface := get (dict "public" "callback" "worker" "api") (index . 1) | default (index . 1) }}
  - {name: WAITCALL_SURFACES, value: {{ $surface }}}
  {{- include "waitcall.env" . | nindent 2 }}
{{- with $own.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml $own.resources | nindent 2 }}
volumeMounts:
  {{- include "waitcall.volumeMounts" $ | nindent 2 }}
  {{- if and $.Values.pageLocales.existingConfigMap (include "waitcall.pageLocales" .) }}
  - {name: locales, mountPath: /run/waitcall/locales, readOnly: true}
  {{- end }}
  {{- with $own.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What a pod has beside its containers. Takes a list: context, component, values of the component. */}}
{{- define "waitcall.pod" -}}
{{- $ := index . 0 -}}{{- $component := index . 1 -}}{{- $own := index . 2 -}}
serviceAccountName: {{ include "waitcall.serviceAccountName" $ }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "waitcall.podSecurityContext" $ | nindent 2 }}
{{- with include "waitcall.imagePullSecrets" $ }}
{{ . }}
{{- end }}
topologySpreadConstraints:
  {{- if $own.topologySpreadConstraints }}
  {{- $selector := dict "matchLabels" (include "waitcall.selector" (list $ $component) | fromYaml) }}
  {{- range $own.topologySpreadConstraints }}
  - {{ merge (deepCopy .) (hasKey . "labelSelector" | ternary dict (dict "labelSelector" $selector)) | toYaml | nindent 4 | trim }}
  {{- end }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "waitcall.selector" (list $ $component) | nindent 8 }}
  {{- end }}
  {{- end }}
{{- range $name := list "priorityClassName" "nodeSelector" "tolerations" "affinity" "initContainers" }}
{{- with get $own $name }}
{{ toYaml (dict $name .) }}
{{- end }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ include "waitcall.secretName" $ }}
      defaultMode: 0440
      items:
        {{- range $setting, $key := fromJson (include "waitcall.secretSettings" .) }}
        - {key: {{ $key }}, path: {{ $key }}}
        {{- end }}
        {{- with $.Values.secret.keys.certificateAuthorities }}
        - {key: {{ . }}, path: {{ . }}}
        {{- end }}
  - name: policy
    configMap:
      name: {{ include "waitcall.policyConfigMap" $ }}
  # The processes of a pod keep their metrics here.
  - name: tmp
    emptyDir:
      medium: Memory
      sizeLimit: 64Mi
  {{- if and $.Values.pageLocales.existingConfigMap (include "waitcall.pageLocales" .) }}
  - name: locales
    configMap:
      name: {{ $.Values.pageLocales.existingConfigMap }}
  {{- end }}
  {{- if $.Values.redisTls.existingSecret }}
  - name: redis-tls
    secret:
      secretName: {{ $.Values.redisTls.existingSecret }}
      defaultMode: 0440
      items:
        {{- range $setting, $key := fromJson (include "waitcall.redisTls" $) }}
        - {key: {{ $key }}, path: {{ $key }}}
        {{- end }}
  {{- end }}
  {{- with $own.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Labels and annotations of a pod. Takes a list: context, component, values of the component, port of metrics, Services that select the pod. */}}
{{- define "waitcall.podMetadata" -}}
{{- $ := index . 0 -}}{{- $own := index . 2 -}}
{{- $labels := deepCopy ($own.podLabels | default dict) -}}
{{- range index . 4 }}{{ $_ := set $labels (printf "waitcall.dev/%s" .) "true" }}{{ end -}}
labels:
  {{- include "waitcall.labels" (list $ (index . 1) $labels) | nindent 2 }}
annotations:
  kubectl.kubernetes.io/default-container: waitcall
  {{- if not $.Values.policy.existingConfigMap }}
  checksum/policy: {{ include "waitcall.policy" $ | sha256sum }}
  {{- end }}
  {{- if $.Values.metrics.annotations }}
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ index . 3 | quote }}
  prometheus.io/path: /metrics
  {{- end }}
  {{- with $own.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "waitcall.policy" -}}
{{- default (.Files.Get "files/policy.toml") .Values.policy.text -}}
{{- end }}

{{/* Rule groups that judge this release, as YAML. */}}
{{- define "waitcall.rules" -}}
{{- $release := printf "namespace=%q,app_kubernetes_io_instance=%q" .Release.Namespace .Release.Name -}}
{{- $selector := printf "{%s}" (default $release .Values.prometheusRule.selector) -}}
{{- $base := .Values.prometheusRule.runbookBase -}}
{{- $rules := .Files.Get "rules/waitcall.yaml" | replace "docs/runbooks/" $base | fromYaml -}}
{{- range $rules.groups -}}
{{- range .rules -}}
{{- if and .annotations (not $base) }}{{ $_ := unset .annotations "runbook_url" }}{{ end -}}
{{- $marked := regexReplaceAll "waitcall[_:][a-z0-9_:]+" .expr "${0}{}" -}}
{{- $_ := set . "expr" ($marked | replace "{}" $selector | replace "}{" ",") -}}
{{- end -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end }}

{{/* The board, which first shows this release, as JSON. */}}
{{- define "waitcall.board" -}}
{{- $base := .Values.prometheusRule.runbookBase -}}
{{- $board := .Files.Get "dashboards/waitcall.json" | fromJson -}}
{{- $shown := dict "namespace" .Release.Namespace "release" .Release.Name -}}
{{- $_ := set $board "uid" (printf "waitcall-%s" (printf "%s/%s" .Release.Namespace .Release.Name | sha256sum | trunc 12)) -}}
{{- $_ := set $board "title" (printf "waitcall %s/%s" .Release.Namespace .Release.Name) -}}
{{- range $variable := $board.templating.list -}}
{{- with get $shown $variable.name }}{{ $_ := set $variable "current" (dict "text" . "value" .) }}{{ end -}}
{{- end -}}
{{- range $panel := $board.panels -}}
{{- $runbook := default "" $panel.description | regexFind "Runbook: [a-z-]+" | trimPrefix "Runbook: " -}}
{{- if and $base $runbook -}}
{{- $_ := set $panel "links" (list (dict "title" "Runbook" "url" (printf "%s%s.md" $base $runbook) "targetBlank" true)) -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson $board -}}
{{- end }}

{{/* Address families of a Service. */}}
{{- define "waitcall.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
