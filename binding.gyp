{
  "targets": [
    {
      "target_name": "dfw",
      "sources": ["<!@(ls native/*.cc)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "native"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc!": ["-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-std=c++17", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-O2", "-fstack-protector-strong", "<!@(pkg-config --cflags libmnl libnftnl libnetfilter_conntrack libnetfilter_log libpcap)"],
      "libraries": ["<!@(pkg-config --libs libmnl libnftnl libnetfilter_conntrack libnetfilter_log libpcap)"]
    },
    {
      # Stands alone: runtimes start it in minimal mount namespaces, and often.
      "target_name": "dfw-cni",
      "type": "executable",
      "sources": ["<!@(ls native/cni/*.cc)"],
      "include_dirs": ["native/cni"],
      "cflags_cc!": ["-std=gnu++20", "-std=gnu++17", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["-std=c++17", "-fexceptions", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-O2", "-fstack-protector-strong"],
      "ldflags!": ["-rdynamic"],
      "ldflags": ["-static", "-s"]
    }
  ]
}
